"""Operators in admin: users and groups, whose every deletion is audited; and second factors: who
has one, and the button that takes it away.

``admin_totp`` alone makes them: it shows the key once and leaves an audit row. django-otp's own
page shows the key of a new device, takes one that somebody else chose, and leaves no row.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.http import HttpRequest
from django_otp.plugins.otp_totp.models import TOTPDevice

from securedrop_ftp.admin.audited import EachDeletionLogged, address, operator
from securedrop_ftp.events import Event
from securedrop_ftp.project.reach import WithinReach, reaches, reaches_group
from securedrop_ftp.signals import emit

admin.site.unregister((User, Group, TOTPDevice))


@admin.register(User)
class AuditedUserAdmin(EachDeletionLogged, WithinReach, UserAdmin):  # type: ignore[type-arg]  # not at run time
    """Django's, with an audit row for each act; see :mod:`securedrop_ftp.project.reach`."""

    powers = ("is_staff", "is_superuser", "groups", "user_permissions")

    def within_reach(self, operator: Any, obj: Any) -> bool:
        """Whether the operator has at least the power of this user."""
        return reaches(operator, obj)


@admin.register(Group)
class AuditedGroupAdmin(EachDeletionLogged, WithinReach, GroupAdmin):
    """Django's, with an audit row for each act. Who is in a group may not give it more."""

    powers = ("permissions",)

    def within_reach(self, operator: Any, obj: Any) -> bool:
        """Whether the operator has at least the power that this group gives."""
        return reaches_group(operator, obj)


@admin.register(TOTPDevice)
class SecondFactorAdmin(WithinReach):
    """Devices are watched and removed, never added or edited."""

    list_display = ("user", "name", "confirmed", "created_at", "last_used_at")
    list_select_related = ("user",)
    fields = list_display

    def within_reach(self, operator: Any, obj: Any) -> bool:
        """Whether the operator has at least the power of the device's user."""
        return reaches(operator, obj.user)

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """Django's log entries, and our audit rows."""
        for device in queryset:
            emit(
                Event(
                    "account.changed",
                    account=device.user.get_username(),
                    remote_ip=address(request),
                    actor=request.user.get_username(),
                    reason=f"second factor removed by {operator(request)}",
                )
            )
        return super().log_deletions(request, queryset)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
