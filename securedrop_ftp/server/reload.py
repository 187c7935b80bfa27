"""Settings again, without a restart: SIGHUP (row 25)."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any

from django.conf import settings

from securedrop_ftp.conf import Conf, get_conf

#: What the command line said; it goes before the settings also after a reload.
_overrides: dict[str, Any] = {}


def override(values: Mapping[str, Any]) -> None:
    """Put values over the settings for the life of this process."""
    _overrides.update(values)
    settings.SECUREDROP = {**getattr(settings, "SECUREDROP", {}), **_overrides}
    get_conf.cache_clear()


def read_settings() -> dict[str, Any]:
    """The settings module's ``SECUREDROP`` as it is now; nothing in force is changed."""
    module = sys.modules.get(os.environ.get("DJANGO_SETTINGS_MODULE", ""))
    source = settings if module is None else importlib.reload(module)
    return {**getattr(source, "SECUREDROP", {}), **_overrides}


def reload_settings() -> Conf:
    """Read and put in force for :func:`securedrop_ftp.conf.get_conf`."""
    settings.SECUREDROP = read_settings()
    get_conf.cache_clear()
    return get_conf()
