"""The ledger of uploads: read only, without what could continue or forge one."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from securedrop_ftp.admin.filters import DaysFilter, PartnerFilter
from securedrop_ftp.admin.keyset import KeysetAdmin
from securedrop_ftp.admin.times import utc
from securedrop_ftp.models import Upload, UploadState


class StateFilter(admin.SimpleListFilter):
    """By state."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(state), str(state.label)) for state in UploadState]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(state=self.value()) if self.value() else queryset


@admin.register(Upload)
class UploadAdmin(KeysetAdmin):
    """``resume_token`` is a bearer credential (security bar, row 34) and ``digest_state`` and
    ``parts`` are the storage's business: none is shown, nor loaded."""

    time_field = "started"
    exact_search = ("sha256", "username")
    part_search = ("path", "key")
    search_fields = ("path",)
    search_help_text = (
        "An account or a SHA-256 exactly; or a part of a path or key among the newest 50 000 "
        "uploads."
    )
    list_display = ("began", "state", "partner", "username", "path", "size", "digest", "ended")
    list_filter = (DaysFilter, StateFilter, PartnerFilter)
    list_select_related = ("partner",)
    fieldsets = (
        (None, {"fields": ("id", "state", "reason", "started", "updated", "finished")}),
        ("Who", {"fields": ("partner", "username", "remote_ip", "session")}),
        ("File", {"fields": ("path", "size", "sha256", "digest_source", "resumed_at")}),
        ("Storage", {"fields": ("storage", "backend", "key", "policy", "received")}),
        ("Writer", {"fields": ("owner", "node", "epoch", "lease_until")}),
    )

    @admin.display(description="started (UTC)")
    def began(self, row: Any) -> str:
        """For the list."""
        return utc(row.started)

    @admin.display(description="finished (UTC)")
    def ended(self, row: Any) -> str:
        """For the list."""
        return utc(row.finished)

    @admin.display(description="SHA-256")
    def digest(self, row: Any) -> str:
        """Its beginning; the upload's page has all of it."""
        return f"{row.sha256[:12]}…" if row.sha256 else "-"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Without the columns that are never shown."""
        return super().get_queryset(request).defer("resume_token", "digest_state", "parts")
