"""The audit trail: read, searched, filtered; never changed."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.utils.html import format_html_join

from securedrop_ftp.admin.filters import DaysFilter, EventFilter, OutcomeFilter, PartnerNameFilter
from securedrop_ftp.admin.keyset import KeysetAdmin
from securedrop_ftp.admin.shown import tag, utc
from securedrop_ftp.audit.chain import rfc3339
from securedrop_ftp.audit.difficulties import client_of
from securedrop_ftp.models import AuditEvent


@admin.register(AuditEvent)
class AuditEventAdmin(KeysetAdmin):
    """See the module's docstring."""

    time_field = "time"
    exact_search = ("sha256", "session", "account", "actor", "remote_ip", "partner")
    part_search = ("path", "reason")
    words_index = "securedrop_audit_words"
    search_fields = ("path",)  # shows the box; get_search_results does the work
    search_help_text = (
        "An account, operator, partner, address, session or SHA-256 exactly, or a part of a path "
        "or reason."
    )
    empty = "Nothing has happened yet: the first connection makes the first row."
    list_display = (
        "second",
        "event",
        "came_to",
        "partner",
        "account",
        "remote_ip",
        "path",
        "size",
        "reason",
    )
    list_filter = (DaysFilter, EventFilter, OutcomeFilter, PartnerNameFilter)
    fieldsets = (
        (None, {"fields": ("seq", "when", "event", "outcome", "reason", "reply")}),
        ("Who", {"fields": ("partner", "partner_id", "account", "actor", "remote_ip", "session")}),
        ("File", {"fields": ("path", "size", "sha256")}),
        ("Session", {"fields": ("client", "transfers", "troubles")}),
        ("Chain", {"fields": ("version", "prev_hash", "hash", "event_id")}),
    )

    @admin.display(description="time (UTC)")
    def second(self, row: Any) -> str:
        """The time of the row, to the second, for the list."""
        return utc(row.time)

    @admin.display(description="outcome")
    def came_to(self, row: Any) -> str:
        """The outcome as a coloured tag, for the list."""
        return tag(row.outcome)

    @admin.display(empty_value="-")
    def client(self, row: AuditEvent) -> str:
        """What it was, of a session's last row."""
        return client_of(row.details or {})

    @admin.display(empty_value="-")
    def transfers(self, row: AuditEvent) -> str:
        """How many went through, of a session's last row."""
        details = row.details or {}
        if "transfers" not in details:
            return ""
        return f"{details['transfers']} went through, {details.get('failed', 0)} failed"

    @admin.display(empty_value="-")
    def troubles(self, row: AuditEvent) -> str:
        """What did not go through, why, and what to do; the most frequent first."""
        found = (row.details or {}).get("troubles", ())
        return format_html_join(
            "",
            "<p><strong>{}</strong> ({}): {}<br>{}</p>",
            ((t["cause"], t["count"], t["happened"], t["remedy"]) for t in found),
        )

    @admin.display(description="time (UTC)")
    def when(self, row: Any) -> str:
        """With microseconds, as it is exported."""
        return rfc3339(row.time)
