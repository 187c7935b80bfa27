"""Filters whose choices cost no query over the rows they filter."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

from django.contrib.admin import ListFilter, SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from securedrop_ftp.audit.partners import of_partner
from securedrop_ftp.events import EVENT_NAMES
from securedrop_ftp.models import AuditEvent, Partner

_MAX_PARTNERS: Final = 100
#: No day comes after it.
_LAST_DAY: Final = datetime.max.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=UTC)


class EventFilter(SimpleListFilter):
    """By event name."""

    title = "event"
    parameter_name = "event"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in EVENT_NAMES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(event=self.value()) if self.value() else queryset


class OutcomeFilter(SimpleListFilter):
    """By outcome."""

    title = "outcome"
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in ("success", "failure", "denied")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(outcome=self.value()) if self.value() else queryset


class PartnerNameFilter(SimpleListFilter):
    """By partner: a link for each of the first hundred, a box to type the name of any other."""

    title = "partner"
    parameter_name = "partner"
    template = "admin/securedrop_ftp/partner_filter.html"
    column: ClassVar[str] = "partner"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        names = Partner.objects.order_by("name").values_list("name", flat=True)
        self._names = list(names[: _MAX_PARTNERS + 1])
        return [(name, name) for name in self._names[:_MAX_PARTNERS]]

    def choices(self, changelist: Any) -> Iterator[Any]:
        """First the box, where not every partner has a link; then the links."""
        if len(self._names) > _MAX_PARTNERS:
            others = {
                name: value
                for name, value in changelist.params.items()
                if name not in (self.parameter_name, "p", "e")
            }
            yield {"form": True, "value": self.value() or "", "others": others}
        yield from super().choices(changelist)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if not value:
            return queryset
        if self.column == "partner" and queryset.model is AuditEvent:
            return of_partner(queryset, value)
        return queryset.filter(**{self.column: value})


class PartnerFilter(PartnerNameFilter):
    """The same for rows that refer to the partner itself."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        # The id, not a join: the index begins with it.
        ids = Partner.objects.filter(name=self.value()).values_list("pk", flat=True)
        return queryset.filter(partner_id__in=list(ids))


class DaysFilter(ListFilter):
    """Between two days (UTC), both included, with links for the usual spans.

    Instead of ``date_hierarchy``, which truncates and groups every row of the table.
    """

    title = "day"
    template = "admin/securedrop_ftp/days_filter.html"
    first, last = "first_day", "last_day"

    def __init__(
        self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any
    ) -> None:
        super().__init__(request, params, model, model_admin)
        self.time_field = model_admin.time_field
        for name in self.expected_parameters():
            if name in params:
                value = params.pop(name)
                self.used_parameters[name] = value[-1] if isinstance(value, list) else value

    def expected_parameters(self) -> list[str | None]:
        return [self.first, self.last]

    def has_output(self) -> bool:
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if (first := self._day(self.first)) is not None:
            queryset = queryset.filter(**{f"{self.time_field}__gte": first})
        last = self._day(self.last)
        if last is not None and last < _LAST_DAY:
            end = last + timedelta(days=1)
            queryset = queryset.filter(**{f"{self.time_field}__lt": end})
        return queryset

    def _day(self, name: str) -> datetime | None:
        try:
            return datetime.strptime(str(self.used_parameters.get(name, "")), "%Y-%m-%d").replace(
                tzinfo=UTC
            )
        except ValueError:
            return None

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        """First the form's state, then a link for each span."""
        chosen = {name: str(self.used_parameters.get(name, "")) for name in (self.first, self.last)}
        others = {
            name: value
            for name, value in changelist.params.items()
            if name not in (self.first, self.last, "p", "e")
        }
        yield {"form": True, "chosen": chosen, "others": others}
        today = timezone.now().astimezone(UTC).date()
        for label, days in (("Any", None), ("Today", 0), ("Last 7 days", 6), ("Last 30 days", 29)):
            begin = "" if days is None else (today - timedelta(days=days)).isoformat()
            new = {self.first: begin} if begin else {}
            yield {
                "selected": chosen == {self.first: begin, self.last: ""},
                "query_string": changelist.get_query_string(
                    new, remove=[self.last] if begin else [self.first, self.last]
                ),
                "display": label,
            }
