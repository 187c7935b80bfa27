"""Whom an operator reaches: a superuser everybody, others those with no more power than they have.

Without this, who may change users sets a superuser's password, or becomes one: Django's own admin
leaves that to whoever hands out ``auth.change_user`` (its documentation says so).
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group, Permission, User
from django.db.models import Q

from securedrop_ftp.admin.typed import ModelAdmin


def permissions_of(condition: Q) -> set[str]:
    """``app.codename`` of each permission that meets it."""
    rows = Permission.objects.filter(condition).values_list("content_type__app_label", "codename")
    return {f"{app}.{codename}" for app, codename in rows}


def reaches(operator: Any, user: User) -> bool:
    """Whether ``operator`` may have power over ``user``: all that one may, active or not and
    staff or not, the operator may too."""
    if operator.is_superuser:
        return True
    if user.is_superuser:
        return False
    theirs = permissions_of(Q(user=user) | Q(group__user=user))
    return theirs <= set(operator.get_all_permissions())


def reaches_group(operator: Any, group: Group) -> bool:
    """The same of a group."""
    if operator.is_superuser:
        return True
    return permissions_of(Q(group=group)) <= set(operator.get_all_permissions())


class WithinReach(ModelAdmin):
    """For the admin of what is somebody's power. Nobody but a superuser gives power: the fields
    named in :attr:`powers` are read by others, never set."""

    powers: tuple[str, ...] = ()

    def within_reach(self, operator: Any, obj: Any) -> bool:
        """Whether the operator may change and delete ``obj``."""
        raise NotImplementedError

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        """Django's, for those within reach."""
        allowed = super().has_change_permission(request, obj)
        return allowed and (obj is None or self.within_reach(request.user, obj))

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:
        """Django's, for those within reach."""
        allowed = super().has_delete_permission(request, obj)
        return allowed and (obj is None or self.within_reach(request.user, obj))

    def get_readonly_fields(self, request: Any, obj: Any = None) -> Any:
        """Powers too, but for a superuser."""
        fields = tuple(super().get_readonly_fields(request, obj))
        return fields if request.user.is_superuser else (*fields, *self.powers)
