"""Lists that stay quick at a million rows: no COUNT(*), no OFFSET, one index range for each page.

A page is "the next rows after this key" (keyset paging, use-the-index-luke.com/no-offset), so the
last page costs what the first does. Lists are newest first; the key is a time and the primary key.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from django.contrib.admin.options import ShowFacets
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from securedrop_ftp.admin.pages import ListedAdmin
from securedrop_ftp.admin.search import IN_TEXTS, WINDOW, Search, search
from securedrop_ftp.admin.shown import utc

_Cursor = tuple[datetime, Any]


class KeysetChangeList(ChangeList):
    """A page of rows after or before a key.

    ``searched`` says in a sentence what a search looked at; ``search_on`` is the link that looks
    at what it did not.
    """

    newer = ""
    older = ""
    searched = ""
    search_on = ""
    search_on_label = ""

    def get_results(self, request: HttpRequest) -> None:
        """The page; sets what Django's templates ask of a change list, without counting."""
        model_admin: Any = self.model_admin
        after, before = getattr(request, "keyset", ("", ""))
        size = self.list_per_page
        rows, more, horizon = self._fetch(request, after, before, size)
        first, last = (rows[0], rows[-1]) if rows else (None, None)
        if before:
            has_newer, has_older = more, bool(rows)
        else:
            has_newer, has_older = bool(after) and bool(rows), more
        if first is not None and has_newer:
            self.newer = self._link(request, before=model_admin.cursor_of(first))
        if last is not None and has_older:
            self.older = self._link(request, after=model_admin.cursor_of(last))
        self._say_what_was_searched(request, horizon, older=not before)
        self.result_list = rows
        self.result_count = len(rows)
        self.full_result_count = None
        self.show_full_result_count = False
        self.show_admin_actions = False
        self.can_show_all = self.multi_page = False
        self.paginator = model_admin.get_paginator(request, rows, size)

    def _link(self, request: HttpRequest, **cursor: str) -> str:
        """This list from another row on."""
        mode = {"in": IN_TEXTS} if getattr(request, "keyset_in_texts", False) else {}
        return self.get_query_string({**mode, **cursor})

    def _fetch(
        self, request: HttpRequest, after: str, before: str, size: int
    ) -> tuple[list[Model], bool, _Cursor | None]:
        """(rows, whether there are more, the last row looked at where a search went no further)."""
        model_admin: Any = self.model_admin
        time_field = model_admin.time_field
        queryset, onward = self.queryset, "lt"
        if (cursor := model_admin.parse_cursor(before)) is not None:
            queryset, onward = _past(queryset, time_field, cursor, "gt").reverse(), "gt"
        elif (cursor := model_admin.parse_cursor(after)) is not None:
            queryset = _past(queryset, time_field, cursor, "lt")
        horizon: _Cursor | None = None
        wanted: Search | None = getattr(request, "keyset_search", None)
        if wanted is not None and not wanted.whole:
            # The window's last row, and whether there is one behind it.
            edge = list(queryset.values_list(time_field, "pk")[WINDOW - 1 : WINDOW + 1])
            if len(edge) == 2:
                horizon = edge[0]
                back = "gt" if onward == "lt" else "lt"
                queryset = _past(queryset, time_field, edge[0], back, itself=True)
            queryset = queryset.filter(wanted.parts)
        found = list(queryset[: size + 1])
        more = len(found) > size
        rows = found[:size] if onward == "lt" else found[:size][::-1]
        return rows, more, None if more else horizon

    def _say_what_was_searched(
        self, request: HttpRequest, horizon: _Cursor | None, *, older: bool
    ) -> None:
        wanted: Search | None = getattr(request, "keyset_search", None)
        if wanted is None:
            return
        names = {f.name: str(f.verbose_name) for f in self.model._meta.get_fields() if f.concrete}
        if wanted.equal:
            columns = " or ".join(names[column] for column in wanted.equal)
            self.searched = format_html("Rows whose {} is exactly “{}”.", columns, wanted.term)
            self.search_on = self.get_query_string({"in": IN_TEXTS})
            self.search_on_label = "Search texts for it instead"
        elif horizon is not None:
            self.searched = format_html(
                "Searched {} of the rows that the filters leave, {} {} (UTC); what is {} was not "
                "looked at.",
                f"{WINDOW:,}".replace(",", " "),
                "back to" if older else "up to",
                utc(horizon[0]),
                "older" if older else "newer",
            )
            cursor = f"{horizon[0].isoformat()}~{horizon[1]}"
            self.search_on = self._link(request, **{"after" if older else "before": cursor})
            self.search_on_label = f"Search {'older' if older else 'newer'} rows"


def _past(
    queryset: QuerySet[Any], time_field: str, cursor: _Cursor, side: str, *, itself: bool = False
) -> QuerySet[Any]:
    """The rows on that side (``gt``, ``lt``) of the cursor's row, with the row if ``itself``."""
    time, key = cursor
    of_key = f"pk__{side}e" if itself else f"pk__{side}"
    # "<=" on the leading column alone is what lets the database start inside the index.
    return queryset.filter(
        Q(**{f"{time_field}__{side}e": time})
        & (Q(**{f"{time_field}__{side}": time}) | Q(**{of_key: key}))
    )


class ReadOnlyAdmin(ListedAdmin):
    """Nothing is added, changed or deleted."""

    change_form_template = "admin/securedrop_ftp/read_only_form.html"
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
    #: Columns whose part a search term may be, and PostgreSQL's trigram index over them.
    part_search: ClassVar[tuple[str, ...]] = ()
    words_index: ClassVar[str] = ""

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
        request.keyset_in_texts = query.pop("in", [""])[0] == IN_TEXTS  # type: ignore[attr-defined]
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
            at = datetime.fromisoformat(time).astimezone(UTC)
            return at, self.model._meta.pk.to_python(key)
        except (ValueError, OverflowError, ValidationError):
            return None

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Narrow ``queryset`` to what the term finds by index;
        :mod:`securedrop_ftp.admin.search` says how."""
        term = search_term.strip()
        if not term:
            return queryset, False
        wanted = search(
            queryset,
            term,
            exact=self.exact_search,
            parts=self.part_search,
            index=self.words_index,
            in_texts=request.keyset_in_texts,  # type: ignore[attr-defined]
        )
        request.keyset_search = wanted  # type: ignore[attr-defined]
        return wanted.narrowed(queryset), False
