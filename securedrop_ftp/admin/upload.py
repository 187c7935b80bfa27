"""The ledger of uploads: read only, without what could continue or forge one."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from securedrop_ftp.admin.filters import DaysFilter, PartnerFilter
from securedrop_ftp.admin.keyset import KeysetAdmin
from securedrop_ftp.admin.shown import tag, utc
from securedrop_ftp.escaping import escape
from securedrop_ftp.models import Upload, UploadState


class StateFilter(admin.SimpleListFilter):
    """By state."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(state), str(state.label)) for state in UploadState]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(state=self.value()) if self.value() else queryset


def _asked_path(row: Any) -> str:
    """The path that the client named; for a page that escapes it."""
    return escape(row.path, 1024)


@admin.register(Upload)
class UploadAdmin(KeysetAdmin):
    """``resume_token`` is a bearer credential (security bar, row 34) and ``digest_state`` and
    ``parts`` are the storage's business: none is shown, nor loaded."""

    time_field = "started"
    exact_search = ("sha256", "username")
    part_search = ("path", "key")
    words_index = "securedrop_upload_words"
    search_fields = ("path",)
    search_help_text = "An account or a SHA-256 exactly, or a part of a path or key."
    empty = "No partner has begun an upload yet."
    list_display = ("began", "stage", "partner", "username", "named", "size", "digest", "ended")
    list_filter = (DaysFilter, StateFilter, PartnerFilter)
    list_select_related = ("partner",)
    fieldsets = (
        (None, {"fields": ("id", "stage", "reason", "began", "changed", "ended")}),
        ("Who", {"fields": ("partner", "username", "remote_ip", "session")}),
        (
            "File",
            {
                "fields": (
                    "asked",
                    "size",
                    "sha256",
                    "digest_source",
                    "resumed_at",
                    "sent_size",
                    "sent_sha256",
                )
            },
        ),
        ("Storage", {"fields": ("storage", "backend", "object_key", "policy", "received")}),
        ("Writer", {"fields": ("owner", "node", "epoch", "leased")}),
    )

    @admin.display(description="started (UTC)")
    def began(self, row: Any) -> str:
        """When the upload began, in UTC, for the list."""
        return utc(row.started)

    @admin.display(description="updated (UTC)")
    def changed(self, row: Any) -> str:
        """When its row was last written."""
        return utc(row.updated)

    @admin.display(description="lease until (UTC)")
    def leased(self, row: Any) -> str:
        """Until when its writer is taken for alive."""
        return utc(row.lease_until)

    @admin.display(description="state")
    def stage(self, row: Any) -> str:
        """The state as a coloured tag, for the list."""
        return tag(row.state)

    @admin.display(description="finished (UTC)")
    def ended(self, row: Any) -> str:
        """When the upload ended, in UTC, for the list."""
        return utc(row.finished)

    # A client chose these names: an override of the writing direction would show another ending
    # than the file has. The audit trail holds them escaped; the ledger needs them as they are.

    @admin.display(description="path")
    def named(self, row: Any) -> str:
        """For the list: the path that the client named, and the name given where it is another."""
        asked, given = (escape(text, 1024).rpartition("/")[2] for text in (row.path, row.key))
        path = _asked_path(row)
        return path if asked == given else f"{path} (stored as {given})"

    @admin.display(description="name asked for")
    def asked(self, row: Any) -> str:
        """The path that the client named, escaped."""
        return escape(row.path, 1024)

    @admin.display(description="key stored under")
    def object_key(self, row: Any) -> str:
        """Where it is stored, escaped."""
        return escape(row.key, 1024)

    @admin.display(description="SHA-256")
    def digest(self, row: Any) -> str:
        """Its beginning; the upload's page has all of it."""
        return f"{row.sha256[:12]}…" if row.sha256 else "-"

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """With the way to what has no row here: refused uploads."""
        chosen = {
            name: request.GET[name]
            for name in ("partner", "first_day", "last_day")
            if request.GET.get(name)
        }
        trail = reverse(
            "admin:securedrop_ftp_auditevent_changelist", current_app=self.admin_site.name
        )
        refused = f"{trail}?{urlencode({'event': 'upload.rejected', **chosen})}"
        return super().changelist_view(request, {"refused": refused, **(extra_context or {})})

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Without the columns that are never shown."""
        return super().get_queryset(request).defer("resume_token", "digest_state", "parts")
