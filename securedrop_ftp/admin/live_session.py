"""Who is connected now, from where, doing what; and the button that ends a session."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.utils.html import format_html

from securedrop_ftp.admin.audited import operator
from securedrop_ftp.admin.pages import AskingAdmin
from securedrop_ftp.admin.shown import utc
from securedrop_ftp.escaping import escape
from securedrop_ftp.models import LiveSession


@admin.register(LiveSession)
class LiveSessionAdmin(AskingAdmin):
    """Sessions are watched and ended, never added or edited."""

    verb: ClassVar[str] = "end"
    list_display = (
        "who",
        "partner",
        "remote_ip",
        "activity",
        "moved",
        "since",
        "last_seen",
        "node",
        "button",
    )
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

    @admin.display(ordering="started", description="since (UTC)")
    def since(self, row: LiveSession) -> str:
        """When the connection was made."""
        return utc(row.started)

    @admin.display(ordering="seen", description="changed (UTC)")
    def last_seen(self, row: LiveSession) -> str:
        """When something last changed in it."""
        return utc(row.seen)

    # --- ending ----------------------------------------------------------------------

    def question(self, row: LiveSession) -> str:
        """Whose session would end, in the midst of what."""
        return format_html(
            "<strong>{}</strong> from {}: {}. End this session now? An upload that it interrupts "
            "changes nothing and can be resumed.",
            row.account or "Somebody who is not logged in",
            row.remote_ip,
            self.activity(row),
        )

    def act(self, request: HttpRequest, row: LiveSession) -> str:
        """Ask its worker, who looks every few seconds."""
        self._ask_workers(request, LiveSession.objects.filter(pk=row.pk))
        return f"{row}: will end within a few seconds."

    def gone(self) -> str:
        """The client hung up, or another operator was quicker."""
        return "That session has ended."

    def _ask_workers(self, request: HttpRequest, queryset: QuerySet[LiveSession]) -> int:
        return queryset.update(end_requested_by=str(operator(request))[:255])

    @admin.action(description="End the selected sessions", permissions=("end",))
    def end_selected(self, request: HttpRequest, queryset: QuerySet[LiveSession]) -> None:
        """Ask their workers, who look every few seconds."""
        asked = self._ask_workers(request, queryset)
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
