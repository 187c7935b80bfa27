"""The trail's statements, as SQL that is written once.

They run for every login, file and session. The ORM builds each of them anew, which took five times
as long as the database needed to run them; values still pass through the model's fields.
"""

from __future__ import annotations

from functools import lru_cache

from django.db import connection

from securedrop_ftp.models import AuditEvent, AuditHead

_FIELDS = AuditEvent._meta.concrete_fields


@lru_cache(maxsize=4)
def _statements(_vendor: str) -> tuple[str, str, str, str]:
    quote = connection.ops.quote_name
    head, event = quote(AuditHead._meta.db_table), quote(AuditEvent._meta.db_table)
    key, seq, hash_ = (quote(name) for name in ("id", "seq", "hash"))
    columns = ", ".join(quote(str(field.column)) for field in _FIELDS)
    places = ", ".join(["%s"] * len(_FIELDS))
    return (
        f"UPDATE {head} SET {seq} = {seq} + 1 WHERE {key} = 1",  # noqa: S608  (names of ours)
        f"SELECT {seq}, {hash_} FROM {head} WHERE {key} = 1",  # noqa: S608
        f"INSERT INTO {event} ({columns}) VALUES ({places})",  # noqa: S608
        f"UPDATE {head} SET {hash_} = %s WHERE {key} = 1",  # noqa: S608
    )


def advance() -> tuple[int, str]:
    """The next number, and the hash of the row before; the head's row stays locked.

    UPDATE first: it takes the row's lock on PostgreSQL and the write lock on SQLite.
    """
    update, select, _, _ = _statements(connection.vendor)
    with connection.cursor() as cursor:
        cursor.execute(update)
        while not cursor.rowcount:
            AuditHead.objects.bulk_create([AuditHead(pk=1)], ignore_conflicts=True)
            cursor.execute(update)
        cursor.execute(select)
        seq, hash_ = cursor.fetchone()
    return seq, hash_


def insert(row: AuditEvent) -> None:
    """The row, and its hash at the head."""
    _, _, insert_, close = _statements(connection.vendor)
    values = [field.get_db_prep_save(getattr(row, field.attname), connection) for field in _FIELDS]
    with connection.cursor() as cursor:
        cursor.execute(insert_, values)
        cursor.execute(close, [row.hash])
    row._state.adding = False
    row._state.db = connection.alias
