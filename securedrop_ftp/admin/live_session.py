"""Who is connected now, from where, doing what; and the button that ends a session."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat

from securedrop_ftp.admin.audited import operator
from securedrop_ftp.admin.typed import ModelAdmin
from securedrop_ftp.escaping import escape
from securedrop_ftp.models import LiveSession


@admin.register(LiveSession)
class LiveSessionAdmin(ModelAdmin):
    """Sessions are watched and ended, never added or edited."""

    list_display = ("who", "partner", "remote_ip", "activity", "moved", "started", "seen", "node")
    list_display_links = None
    list_filter = ("partner", "node")
    search_fields = ("account", "partner", "remote_ip")
    search_help_text = "A part of an account's name, a partner's or an address."
    actions = ("end_selected",)
    show_full_result_count = False

    @admin.display(ordering="account", description="account")
    def who(self, row: LiveSession) -> str:
        """The account, once it is known."""
        return row.account or "(not logged in)"

    @admin.display(ordering="doing", description="doing")
    def activity(self, row: LiveSession) -> str:
        """The command or the transfer that runs."""
        if row.end_requested_by:
            return f"is being ended by {row.end_requested_by}"
        return escape(row.doing, 255) or "idle"

    @admin.display(ordering="bytes_moved")
    def moved(self, row: LiveSession) -> str:
        """Payload bytes, both directions."""
        return filesizeformat(row.bytes_moved)

    @admin.action(description="End the selected sessions", permissions=("end",))
    def end_selected(self, request: HttpRequest, queryset: QuerySet[LiveSession]) -> None:
        """Ask their workers, who look every few seconds."""
        asked = queryset.update(end_requested_by=operator(request)[:255])
        self.message_user(
            request, f"{asked} sessions will end within a few seconds.", messages.SUCCESS
        )

    def has_end_permission(self, request: HttpRequest) -> bool:
        """Django's change permission on sessions, though nobody edits one."""
        return super().has_change_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
