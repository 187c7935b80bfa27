"""The ready-to-run project as a Django app: it brings the ``demo`` command, and makes the database
file readable by its owner only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import pre_migrate


class ProjectConfig(AppConfig):
    """No models; only what belongs to this project and not to the reusable app."""

    name = "securedrop_ftp.project"
    label = "securedrop_project"
    verbose_name = "Secure file drop, the project"

    def ready(self) -> None:
        """Before the first table is made."""
        pre_migrate.connect(close_to_others, dispatch_uid="securedrop_ftp.project.database")


def close_to_others(using: str, **kwargs: Any) -> None:
    """A SQLite file without a table is being made now: 0600, which its log takes from it. One with
    tables is the operator's (check W044 looks at it)."""
    connection = connections[using]
    if connection.vendor != "sqlite" or connection.introspection.table_names():
        return
    name = str(connection.settings_dict["NAME"])
    for path in (Path(name + suffix) for suffix in ("", "-wal", "-shm")):
        if path.is_file():
            path.chmod(0o600)
