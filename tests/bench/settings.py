"""The project's settings with a storage whose every save takes ten seconds."""

from __future__ import annotations

import os
import time
from typing import Any

from django.core.files.storage import FileSystemStorage

from securedrop_ftp.project.settings import *  # noqa: F403
from securedrop_ftp.project.settings import STORAGES
from securedrop_ftp.storage.filesystem.backend import FilesystemBackend
from securedrop_ftp.storage.protocol import ObjectSpec, Published
from securedrop_ftp.storage.registry import register

SLOW_SECONDS = 10.0


class SlowStorage(FileSystemStorage):
    """Served by :class:`SlowBackend`."""


class SlowBackend(FilesystemBackend):
    """A file system that takes its time to publish."""

    def put_object(
        self, spec: ObjectSpec, data: memoryview, *, sha256: str, replace: bool
    ) -> Published:
        time.sleep(SLOW_SECONDS)
        return super().put_object(spec, data, sha256=sha256, replace=replace)


register(SlowStorage, SlowBackend)

_options: dict[str, Any] = dict(STORAGES["default"].get("OPTIONS", {}))
STORAGES = STORAGES | {
    "default": {"BACKEND": "tests.bench.settings.SlowStorage", "OPTIONS": _options}
}
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.bench.settings")
