"""Who is locked out and until when, and the button that lifts it."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from securedrop_ftp import clock
from securedrop_ftp.access import provisioning
from securedrop_ftp.admin.audited import operator
from securedrop_ftp.admin.pages import AskingAdmin
from securedrop_ftp.admin.shown import utc
from securedrop_ftp.models import Lockout


@admin.register(Lockout)
class LockoutAdmin(AskingAdmin):
    """Lockouts in force. They are lifted, never added, edited or deleted."""

    verb: ClassVar[str] = "unlock"
    list_display = ("who", "source", "began", "ends", "button")
    list_display_links = None
    search_fields = ("username", "source")
    search_help_text = "A part of a user name or of an address."
    actions = ("unlock_selected",)
    show_full_result_count = False
    sortable_by = ("source", "began", "ends")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Lockout]:
        """The lockouts that are in force."""
        return super().get_queryset(request).filter(until__gt=clock.now())

    @admin.display(ordering="username")
    def who(self, row: Lockout) -> str:
        """The name that was tried; it need not exist."""
        return row.username or "everyone from this address"

    @admin.display(description="since (UTC)", ordering="since")
    def began(self, row: Lockout) -> str:
        """When the last failure was."""
        return utc(row.since)

    @admin.display(description="until (UTC)", ordering="until")
    def ends(self, row: Lockout) -> str:
        """When it lifts itself."""
        return utc(row.until)

    # --- lifting ---------------------------------------------------------------------

    def question(self, row: Lockout) -> str:
        """Who would be let in again."""
        return format_html(
            "<strong>{}</strong> from {} is locked out until {} (UTC). Lift that now?",
            row.username or "Everyone",
            row.source,
            utc(row.until),
        )

    def act(self, request: HttpRequest, row: Lockout) -> str:
        """Lift the lockout; the message for the operator."""
        provisioning.unlock([row], operator(request))
        return f"{row}: unlocked."

    def gone(self) -> str:
        """It ended by itself, or another operator was quicker."""
        return "That lockout has ended."

    @admin.action(description="Lift the selected lockouts", permissions=("unlock",))
    def unlock_selected(self, request: HttpRequest, queryset: QuerySet[Lockout]) -> None:
        """Lift each of the lockouts that were ticked."""
        lifted = provisioning.unlock(list(queryset), operator(request))
        self.message_user(request, f"Lockouts lifted: {lifted}.", messages.SUCCESS)

    def has_unlock_permission(self, request: HttpRequest) -> bool:
        """Django's change permission on lockouts, though nobody edits one."""
        return super().has_change_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
