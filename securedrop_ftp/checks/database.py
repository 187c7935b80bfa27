"""Whether a worker's threads have connections enough between them."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Warning  # noqa: A004 - Django's own name
from django.db import DEFAULT_DB_ALIAS, connections

from securedrop_ftp.conf import get_conf
from securedrop_ftp.db.shared import too_few


def check_connections(**kwargs: Any) -> list[CheckMessage]:
    """W052: threads that wait for a connection in vain refuse logins and uploads. PostgreSQL
    alone, and no pool of the project's own."""
    try:
        conf = get_conf()
    except (TypeError, ValueError):  # SECUREDROP itself is broken; other checks say so
        return []
    database = connections[DEFAULT_DB_ALIAS]
    if database.vendor != "postgresql" or database.settings_dict["OPTIONS"].get("pool"):
        return []
    found = too_few(conf.storage_threads + conf.account_threads, conf.database_connections)
    return [Warning(found[0], hint=found[1], id="securedrop.W052")] if found else []
