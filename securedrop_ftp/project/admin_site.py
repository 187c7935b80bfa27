"""The admin site with a second factor: asked of those who have one, or required of everyone.

TOTP (RFC 6238) by django-otp. Enrol with ``admin_totp USERNAME``; require it with
``SECUREDROP_ADMIN_REQUIRE_TOTP=true``.
"""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.conf import settings
from django.contrib.admin import AdminSite
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth import logout
from django.contrib.auth.signals import user_login_failed
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django_otp import devices_for_user, match_token

from securedrop_ftp.events import Event, Operator
from securedrop_ftp.signals import emit

WRONG_CODE: Final = "The code is wrong or was used before. Wait for the next one."
NOT_ENROLLED: Final = (
    "This site requires a second factor, and this user has none. "
    "Ask an administrator to run “admin_totp”."
)

#: What apps are called that Django would call by their label.
APP_NAMES: Final = {"otp_totp": "Second factor", "auth": "Operators and users"}


class SecondFactorForm(AdminAuthenticationForm):
    """User name, password, and the code of those who have a device."""

    otp_token = forms.CharField(
        label="Code",
        required=False,
        max_length=16,
        help_text="From the authenticator app, where this user has one.",
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "inputmode": "numeric"}),
    )

    def clean(self) -> dict[str, Any]:
        """Raises ValidationError unless the password, and the code where one is due, are right.

        A right password with a wrong code is a failed attempt: it counts for the lockout and
        leaves an audit row, else the code could be guessed at leisure.
        """
        try:
            cleaned: dict[str, Any] = super().clean() or self.cleaned_data
            self._check_second_factor(self.get_user())
        except ValidationError:
            self._count_failure()
            raise
        return cleaned

    def _check_second_factor(self, user: Any) -> None:
        if user is None:
            return
        if any(devices_for_user(user)):
            token = self.cleaned_data.get("otp_token", "").replace(" ", "")
            user.otp_device = match_token(user, token) if token else None
            if user.otp_device is None:
                raise ValidationError(WRONG_CODE, code="invalid_token")
        elif settings.ADMIN_REQUIRE_TOTP:
            raise ValidationError(NOT_ENROLLED, code="not_enrolled")

    def _count_failure(self) -> None:
        # Django has told of a wrong password itself; then the reservation is settled.
        if getattr(self.request, "securedrop_reservation", None) is not None:
            credentials = {"username": self.cleaned_data.get("username", "")}
            user_login_failed.send(sender=__name__, credentials=credentials, request=self.request)


class SecureAdminSite(AdminSite):
    """Django's admin with that form."""

    site_header = "Secure file drop"
    site_title = "Secure file drop"
    index_title = "Administration"
    site_url = None  # there is no other site to view
    enable_nav_sidebar = False  # the lists need its room
    login_form = SecondFactorForm
    login_template = "admin/second_factor_login.html"

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Ours first; the second factor by its name."""
        apps: list[Any] = super().get_app_list(request, app_label)
        for app in apps:
            app["name"] = APP_NAMES.get(app["app_label"], app["name"])
        return sorted(apps, key=lambda app: app["app_label"] != "securedrop_ftp")

    def has_permission(self, request: HttpRequest) -> bool:
        """Staff, and verified where it is required of everyone or this user has a device: a
        session from before that does not count."""
        if not super().has_permission(request):
            return False
        user: Any = request.user
        if user.is_verified():
            return True
        return not settings.ADMIN_REQUIRE_TOTP and not any(devices_for_user(user))

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """A session from before the second factor ends here."""
        user: Any = request.user
        staff = user.is_authenticated and user.is_staff
        if request.method == "GET" and staff and not self.has_permission(request):
            logout(request)
        return super().login(request, extra_context)

    def password_change(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Django's page, with its audit row. Every other session of the user ends with the old
        password (Django's session hash)."""
        user: Any = request.user
        before = user.password
        with transaction.atomic():
            answer = super().password_change(request, extra_context)
            if user.password != before:
                by = Operator(user.get_username(), "admin", request.META.get("REMOTE_ADDR", ""))
                emit(
                    Event(
                        "account.changed",
                        account=user.get_username(),
                        remote_ip=by.address,
                        actor=by.name,
                        reason=f"own password changed by {by}",
                    )
                )
        return answer
