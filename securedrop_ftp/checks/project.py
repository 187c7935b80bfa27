"""Django settings of the project without which nothing would be served, whatever else is right."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004 - Django's own name
from django.core.files.storage import InMemoryStorage
from django.utils.module_loading import import_string

from securedrop_ftp.conf import get_conf


def check_project(**kwargs: Any) -> list[CheckMessage]:
    """The system check of :func:`project_problems`."""
    return project_problems()


def project_problems() -> list[CheckMessage]:
    """E050: leases, lockouts and the audit trail hold times with a zone."""
    if settings.USE_TZ:
        return []
    return [
        Error(
            "USE_TZ is False: the service compares times with a zone, so every login and every "
            "upload would fail.",
            hint="Set USE_TZ = True in the project's settings (Django's default since 5.0).",
            id="securedrop.E050",
        )
    ]


def check_memory_storage(**kwargs: Any) -> list[CheckMessage]:
    """W051: files in the memory of one worker are not there for the others, and not after it."""
    try:
        workers = get_conf().workers
    except (TypeError, ValueError):  # SECUREDROP itself is broken; other checks say so
        return []
    aliases = [alias for alias, entry in settings.STORAGES.items() if _in_memory(entry)]
    if not aliases or workers < 2:
        return []
    return [
        Warning(
            f"Storage “{', '.join(aliases)}” is in the memory of each process, and there are "
            f"{workers} workers: a file that one takes is not there for the others.",
            hint="It is for trials: set SECUREDROP_FTPS_WORKERS=1, or another "
            "SECUREDROP_STORAGE_URL. Every file is gone when the service stops.",
            id="securedrop.W051",
        )
    ]


def _in_memory(entry: Any) -> bool:
    try:
        found = import_string(entry["BACKEND"])
    except (ImportError, KeyError, TypeError):
        return False  # E012 says so
    return isinstance(found, type) and issubclass(found, InMemoryStorage)
