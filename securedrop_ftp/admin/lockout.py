"""Who is locked out and until when, and the button that lifts it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html

from securedrop_ftp.access import provisioning
from securedrop_ftp.admin.audited import operator
from securedrop_ftp.admin.times import utc
from securedrop_ftp.admin.typed import ModelAdmin
from securedrop_ftp.models import Lockout


@admin.register(Lockout)
class LockoutAdmin(ModelAdmin):
    """Lockouts in force. They are lifted, never added, edited or deleted."""

    list_display = ("who", "source", "began", "ends", "lift")
    list_display_links = None
    search_fields = ("username", "source")
    search_help_text = "A part of a user name or of an address."
    actions = ("unlock_selected",)
    show_full_result_count = False
    sortable_by = ("source", "began", "ends")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Lockout]:
        """In force only."""
        return super().get_queryset(request).filter(until__gt=timezone.now())

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

    @admin.display(description="")
    def lift(self, row: Lockout) -> str:
        """To the page that asks and lifts."""
        url = reverse("admin:securedrop_ftp_lockout_unlock", args=(row.pk,))
        return format_html('<a class="button" href="{}">Unlock</a>', url)

    @admin.action(description="Lift the selected lockouts", permissions=("unlock",))
    def unlock_selected(self, request: HttpRequest, queryset: QuerySet[Lockout]) -> None:
        """Lift each."""
        lifted = provisioning.unlock(list(queryset), operator(request))
        self.message_user(request, f"Lockouts lifted: {lifted}.", messages.SUCCESS)

    def has_unlock_permission(self, request: HttpRequest) -> bool:
        """Django's change permission on lockouts, though nobody edits one."""
        return super().has_change_permission(request)

    def get_urls(self) -> list[URLPattern]:
        """One page of ours before Django's."""
        return [
            path(
                "<int:pk>/unlock/",
                self.admin_site.admin_view(self.unlock_view),
                name="securedrop_ftp_lockout_unlock",
            ),
            *super().get_urls(),
        ]

    def unlock_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask, then lift."""
        if not self.has_unlock_permission(request):
            raise PermissionDenied
        back = reverse("admin:securedrop_ftp_lockout_changelist")
        row = self.get_queryset(request).filter(pk=pk).first()
        if row is None:
            self.message_user(request, "That lockout has ended.", messages.INFO)
            return HttpResponseRedirect(back)
        if request.method == "POST":
            provisioning.unlock([row], operator(request))
            self.message_user(request, f"{row}: unlocked.", messages.SUCCESS)
            return HttpResponseRedirect(back)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "row": row,
            "title": "Lift the lockout",
            "back": back,
        }
        return TemplateResponse(request, "admin/securedrop_ftp/lockout/unlock.html", context)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
