"""Search in large tables that never says "not found" of what it did not look at.

A term that equals an indexed column is answered from the index, whole. Any other is looked for as a
part of texts: on PostgreSQL in a trigram index, whole (migration ``words_index``); elsewhere in the
newest :data:`WINDOW` rows that the chosen filters leave, with a link that goes on behind them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from django.db import connections
from django.db.models import Q, QuerySet

#: Rows that one page of a search without an index looks through.
WINDOW: Final = 50_000
#: Trigrams answer nothing shorter.
_SHORTEST: Final = 3
#: In a link: the term is a part of texts, also where it equals an indexed column.
IN_TEXTS: Final = "texts"


@dataclass(frozen=True, slots=True)
class Search:
    """``equal`` are the columns that the term equals; without any, ``parts`` finds the rows whose
    texts hold it, in all rows where ``whole``, else window by window."""

    term: str
    equal: tuple[str, ...] = ()
    parts: Q = field(default_factory=Q)
    whole: bool = True

    def narrowed(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows that are found; of a search by windows see :meth:`KeysetChangeList`."""
        if not self.equal:
            return queryset.filter(self.parts) if self.whole else queryset
        found = Q()
        for column in self.equal:
            found |= Q(**{column: self.term})
        return queryset.filter(found)


def search(
    queryset: QuerySet[Any],
    term: str,
    *,
    exact: tuple[str, ...],
    parts: tuple[str, ...],
    index: str,
    in_texts: bool,
) -> Search:
    """How ``term`` is looked for. ``index`` is the trigram index over ``parts``; with ``in_texts``
    nobody asks whether an indexed column (of ``exact``) equals it."""
    if not in_texts:
        rows = queryset.model._default_manager
        for spelled in (term, term.lower()):  # a SHA-256 in any case
            equal = tuple(c for c in exact if rows.filter(**{c: spelled}).exists())
            if equal:
                return Search(spelled, equal=equal)
    anywhere = Q()
    for column in parts:
        anywhere |= Q(**{f"{column}__icontains": term})
    whole = len(term) >= _SHORTEST and has_index(queryset.db, index)
    return Search(term, parts=anywhere, whole=whole)


def has_index(alias: str, name: str) -> bool:
    """Whether that trigram index is there and valid."""
    connection = connections[alias]
    if connection.vendor != "postgresql":
        return False
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", (name,)
        )
        row = cursor.fetchone()
    return row is not None and bool(row[0])
