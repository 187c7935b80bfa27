"""Lists that stay quick at a million rows: no COUNT(*), no OFFSET, one index range for each page.

A page is "the next rows after this key" (keyset paging, use-the-index-luke.com/no-offset), so the
last page costs what the first does. Lists are newest first; the key is a time and the primary key.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Final

from django.contrib.admin.options import ShowFacets
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

from securedrop_ftp.admin.pages import ListedAdmin

#: Searches that no index answers look at so many rows, the newest.
SEARCH_WINDOW: Final = 50_000

_Cursor = tuple[datetime, Any]


class KeysetChangeList(ChangeList):
    """A page of rows after or before a key."""

    newer = ""
    older = ""

    def get_results(self, request: HttpRequest) -> None:
        """The page; sets what Django's templates ask of a change list, without counting."""
        model_admin: Any = self.model_admin
        after, before = getattr(request, "keyset", ("", ""))
        size = self.list_per_page
        rows, more = self._fetch(model_admin, after, before, size)
        first, last = (rows[0], rows[-1]) if rows else (None, None)
        if before:
            has_newer, has_older = more, bool(rows)
        else:
            has_newer, has_older = bool(after) and bool(rows), more
        if first is not None and has_newer:
            self.newer = self.get_query_string({"before": model_admin.cursor_of(first)})
        if last is not None and has_older:
            self.older = self.get_query_string({"after": model_admin.cursor_of(last)})
        self.result_list = rows
        self.result_count = len(rows)
        self.full_result_count = None
        self.show_full_result_count = False
        self.show_admin_actions = False
        self.can_show_all = self.multi_page = False
        self.paginator = model_admin.get_paginator(request, rows, size)

    def _fetch(
        self, model_admin: Any, after: str, before: str, size: int
    ) -> tuple[list[Model], bool]:
        queryset = self.queryset
        if (cursor := model_admin.parse_cursor(before)) is not None:
            found = list(
                _past(queryset, model_admin.time_field, cursor, "gt").reverse()[: size + 1]
            )
            return found[:size][::-1], len(found) > size
        if (cursor := model_admin.parse_cursor(after)) is not None:
            queryset = _past(queryset, model_admin.time_field, cursor, "lt")
        found = list(queryset[: size + 1])
        return found[:size], len(found) > size


def _past(queryset: QuerySet[Any], time_field: str, cursor: _Cursor, side: str) -> QuerySet[Any]:
    time, key = cursor
    # "<=" on the leading column alone is what lets the database start inside the index.
    return queryset.filter(
        Q(**{f"{time_field}__{side}e": time})
        & (Q(**{f"{time_field}__{side}": time}) | Q(**{f"pk__{side}": key}))
    )


class ReadOnlyAdmin(ListedAdmin):
    """Nothing is added, changed or deleted."""

    actions = None

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class KeysetAdmin(ReadOnlyAdmin):
    """A read-only list of a large table, newest first.

    ``time_field`` and the primary key, both descending, are the order; every filter and
    ``exact_search`` column should have an index that continues with them.
    """

    time_field: ClassVar[str]
    #: Columns that a search term may equal.
    exact_search: ClassVar[tuple[str, ...]] = ()
    #: Columns whose part a search term may be, among the newest rows.
    part_search: ClassVar[tuple[str, ...]] = ()

    list_per_page = 50
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    sortable_by = ()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeysetChangeList]:
        return KeysetChangeList

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        query = request.GET.copy()
        keys = tuple(query.pop(name, [""])[0] for name in ("after", "before"))
        # Links that change a filter start at its first page, so the key leaves the query here.
        request.GET = query  # type: ignore[assignment]
        request.keyset = keys  # type: ignore[attr-defined]
        return super().get_changelist_instance(request)

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        return (f"-{self.time_field}", "-pk")

    def cursor_of(self, row: Any) -> str:
        """The key of a row as it stands in a link."""
        return f"{getattr(row, self.time_field).isoformat()}~{row.pk}"

    def parse_cursor(self, text: str) -> _Cursor | None:
        """The key, or ``None`` for what is not one."""
        time, _, key = text.partition("~")
        try:
            return datetime.fromisoformat(time), self.model._meta.pk.to_python(key)
        except (ValueError, ValidationError):
            return None

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Rows that have the term in an indexed column, else newest rows that hold it."""
        term = search_term.strip()
        if not term:
            return queryset, False
        for column in self.exact_search:
            if self.model._default_manager.filter(**{column: term}).exists():
                return queryset.filter(**{column: term}), False
        parts = Q()
        for column in self.part_search:
            parts |= Q(**{f"{column}__icontains": term})
        # The row at the window's end bounds the scan.
        newest = self.model._default_manager.order_by(f"-{self.time_field}", "-pk")
        end = newest.values_list(self.time_field, flat=True)[SEARCH_WINDOW : SEARCH_WINDOW + 1]
        for time in end:
            queryset = queryset.filter(**{f"{self.time_field}__gte": time})
        return queryset.filter(parts), False
