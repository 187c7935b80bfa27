"""Checks of what stands in the database: partners whose settings weaken the service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004 - Django's own name
from django.db import DatabaseError, connection

from securedrop_ftp.models import Partner


def check_partners(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """W031 for relaxed session reuse, E032 for a storage alias that is gone, E033 for a database
    that does not answer.

    Django runs it with ``check --database default``; a database without our tables yet is
    for ``migrate``.
    """
    if not databases:
        return []
    try:
        connection.ensure_connection()
    except DatabaseError as exc:
        return [
            Error(
                f"The database cannot be reached: {' '.join(str(exc).split())}.",
                hint="Check SECUREDROP_DATABASE_URL, and whether its server runs.",
                id="securedrop.E033",
            )
        ]
    try:
        enabled = Partner.objects.filter(enabled=True)
        relaxed = list(
            enabled.filter(require_tls_session_reuse=False).values_list("name", flat=True)
        )
        aliases = list(enabled.values_list("name", "storage"))
    except DatabaseError:
        return []
    problems: list[CheckMessage] = []
    if relaxed:
        problems.append(
            Warning(
                f"TLS session reuse on data channels is relaxed for: {', '.join(relaxed)}.",
                hint="A stranger on such a partner's address can race for a data connection. Ask "
                "for a client that resumes sessions (curl, lftp, FileZilla, WinSCP, rclone), then "
                "require it again.",
                id="securedrop.W031",
            )
        )
    problems += [
        Error(
            f"Partner “{name}” stores in “{alias}”, which is not in STORAGES.",
            hint=f"Known: {', '.join(sorted(settings.STORAGES))}.",
            id="securedrop.E032",
        )
        for name, alias in aliases
        if alias not in settings.STORAGES
    ]
    return problems
