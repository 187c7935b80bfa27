"""What operators change leaves an audit row that says who, what, and from where to where.

The row is written inside Django admin's own transaction for the change.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.db.models import QuerySet
from django.db.models.signals import post_save
from django.http import HttpRequest

from securedrop_ftp.access.changes import shown
from securedrop_ftp.admin.pages import ListedAdmin
from securedrop_ftp.admin.shown import utc
from securedrop_ftp.admin.typed import ModelAdmin, ModelForm
from securedrop_ftp.events import Event, Operator
from securedrop_ftp.models import Account
from securedrop_ftp.signals import emit


def operator(request: HttpRequest) -> Operator:
    """Who makes this request, for the audit trail."""
    return Operator(request.user.get_username(), "admin", address(request))


def address(request: HttpRequest) -> str:
    """Where the request comes from."""
    return str(request.META.get("REMOTE_ADDR", ""))


def described(form: ModelForm) -> list[str]:
    """The changed fields of a form: ``enabled: True → False``."""
    changes = []
    for name in form.changed_data:
        old, new = form.initial.get(name), form.cleaned_data.get(name)
        changes.append(f"{name}: {shown(old)} → {shown(new)}")
    return changes


class AuditedAdmin(ListedAdmin):
    """Emits one event for each addition and each change that changed something."""

    @admin.display(description="created (UTC)")
    def made(self, obj: Any) -> str:
        """When the object was made, in UTC."""
        return utc(obj.created)

    @admin.display(description="changed (UTC)")
    def last_changed(self, obj: Any) -> str:
        """When it was last saved."""
        return utc(obj.changed)

    def audit(self, request: HttpRequest, obj: Any, reason: str) -> None:
        """Emit the event of ``obj``. For subclasses."""
        raise NotImplementedError

    def save_model(self, request: Any, obj: Any, form: Any, change: bool) -> None:
        """Save, and note what changed."""
        _notes(request).extend(described(form) if change else [])
        super().save_model(request, obj, form, change)

    def save_formset(self, request: Any, form: Any, formset: Any, change: bool) -> None:
        """Save the inline rows, and note what changed."""
        super().save_formset(request, form, formset, change)
        for row in getattr(formset, "new_objects", []):
            _notes(request).append(f"added {row._meta.verbose_name} {row}")
        for row, _ in getattr(formset, "changed_objects", []):
            _notes(request).append(f"changed {row._meta.verbose_name} {row}")
        for row in getattr(formset, "deleted_objects", []):
            _notes(request).append(f"removed {row._meta.verbose_name} {row}")

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Django's log entry, and our audit row."""
        notes = "; ".join(_notes(request))
        self.audit(request, obj, f"created by {operator(request)}{': ' if notes else ''}{notes}")
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Django's log entry, and our audit row."""
        notes = "; ".join(_notes(request))
        if notes:
            self.audit(request, obj, f"changed by {operator(request)}: {notes}")
        return super().log_change(request, obj, message)


def _notes(request: Any) -> list[str]:
    if not hasattr(request, "securedrop_notes"):
        request.securedrop_notes = []
    notes: list[str] = request.securedrop_notes
    return notes


#: Where the request comes from whose log entries are being written.
_from: ContextVar[str] = ContextVar("securedrop_operator_address", default="")

#: Characters of a message in one row; a longer one takes several.
_ROW: Final = 400


@contextmanager
def _coming_from(request: HttpRequest) -> Iterator[None]:
    token = _from.set(address(request))
    try:
        yield
    finally:
        _from.reset(token)


class EachDeletionLogged(ModelAdmin):
    """For the admin of users and groups: one log entry after the other (Django writes those of
    several deletions in bulk, which sends no signal, so they left no audit row), each with what was
    given or taken by name, and with the operator's address in its audit row."""

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        """Django's, which names the fields, with what became of them."""
        changes = _grants(form)
        if not any(":" in change for change in changes):
            return super().construct_change_message(request, form, formsets, add)
        return f"{'Added' if add else 'Changed'}. {'; '.join(changes)}."

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Django's log entry, with the operator's address for the audit row."""
        with _coming_from(request):
            return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Django's log entry, with the operator's address for the audit row."""
        with _coming_from(request):
            return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """Django's log entries, one call for each object, so that each leaves an audit row."""
        entries: list[LogEntry] = []
        with _coming_from(request):
            for found in queryset:
                # Of one deletion Django makes a list as well.
                entries += super().log_deletions(request, [found])  # type: ignore[arg-type]
        return entries


def _grants(form: Any) -> list[str]:
    """``is_staff: False → True``, ``permissions: +app.name, -app.name``; other fields by name."""
    changes = []
    for name in form.changed_data:
        old, new = form.initial.get(name), form.cleaned_data.get(name)
        if isinstance(old, list) or isinstance(new, QuerySet):
            given = {_name(one) for one in new or ()} - {_name(one) for one in old or ()}
            taken = {_name(one) for one in old or ()} - {_name(one) for one in new or ()}
            signed = [f"+{one}" for one in sorted(given)] + [f"-{one}" for one in sorted(taken)]
            changes.append(f"{name}: {', '.join(signed)}")
        elif isinstance(new, bool):
            changes.append(f"{name}: {old} → {new}")
        else:
            changes.append(name)
    return changes


def _name(one: Any) -> str:
    if isinstance(one, Permission):
        return f"{one.content_type.app_label}.{one.codename}"
    return str(one)


def _pieces(text: str) -> Iterator[str]:
    """``text`` in rows: none of its names is cut off."""
    while len(text) > _ROW:
        at = text.rfind(", ", 0, _ROW) + 2
        at = at if at > 1 else _ROW
        yield text[:at].rstrip()
        text = text[at:]
    yield text


def on_log_entry(sender: Any, instance: LogEntry, created: bool, **kwargs: Any) -> None:
    """Changes to Django users and groups in whatever admin (passwords, flags, permissions)."""
    model = instance.content_type.model_class() if instance.content_type is not None else None
    if not created or model not in (get_user_model(), Group):
        return
    what = {1: "added", 2: "changed", 3: "deleted"}.get(instance.action_flag, "changed")
    by = f"{what} by {instance.user.get_username()} (admin): "
    account = None
    if model is Group:
        whose, about = "", f"group {instance.object_repr} {by}"
    else:
        whose, about = instance.object_repr, f"user {by}"
        of_user = Account.objects.filter(user_id=str(instance.object_id))
        account = of_user.select_related("partner").first()
    for piece in _pieces(str(instance.get_change_message())):
        emit(
            Event(
                "account.changed",
                partner=account.partner.name if account else "",
                partner_id=account.partner_id if account else None,
                account=whose,
                actor=instance.user.get_username(),
                remote_ip=_from.get(),
                reason=f"{about}{piece}",
            )
        )


post_save.connect(on_log_entry, sender=LogEntry, dispatch_uid=__name__)
