"""Checks of what stands in the database: partners whose settings weaken the service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004 - Django's own name
from django.db import DatabaseError, connection
from django.db.models import QuerySet

from securedrop_ftp.db.sentences import first_line, remedy
from securedrop_ftp.models import AsciiPolicy, Partner

_RELAXED: Final = (
    "TLS session reuse on data channels is relaxed for:",
    (
        "A stranger on such a partner's address can race for a data connection. Ask for a "
        "client that resumes sessions (curl, lftp, FileZilla, WinSCP, rclone), then require it "
        "again."
    ),
    "securedrop.W031",
)
_AS_SENT: Final = (
    (
        "Files under TYPE A (ASCII) are stored as they are sent, with the CR LF that the client "
        "puts in, for:"
    ),
    (
        "FileZilla, Java's commons-net and others change files that way. partner_set NAME --ascii "
        "convert (or refuse), unless its files are read by something that relies on it."
    ),
    "securedrop.W034",
)
_LET_OFF: Final = (
    "Uploads may end without TLS close_notify, where ALLO announced their size, for:",
    (
        "Ask for a client that ends TLS properly, then: partner_set NAME "
        "--accept-missing-close-notify off."
    ),
    "securedrop.W035",
)


def check_partners(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """W031 for relaxed session reuse, E032 for a storage alias that is gone, E033 for a database
    that does not answer, W034 for TYPE A stored as sent, W035 for uploads that may end without
    close_notify.

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
                f"The database cannot be reached: {first_line(exc)}.",
                hint=remedy(exc),
                id="securedrop.E033",
            )
        ]
    try:
        enabled = Partner.objects.filter(enabled=True)
        relaxed = _names(enabled.filter(require_tls_session_reuse=False))
        as_sent = _names(enabled.filter(ascii=AsciiPolicy.AS_SENT))
        let_off = _names(enabled.filter(accept_missing_close_notify=True))
        aliases = list(enabled.values_list("name", "storage"))
    except DatabaseError:
        return []
    problems: list[CheckMessage] = [
        Warning(f"{text} {', '.join(names)}.", hint=hint, id=id_)
        for names, text, hint, id_ in (
            (relaxed, *_RELAXED),
            (as_sent, *_AS_SENT),
            (let_off, *_LET_OFF),
        )
        if names
    ]
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


def _names(partners: QuerySet[Partner]) -> list[str]:
    return list(partners.values_list("name", flat=True))
