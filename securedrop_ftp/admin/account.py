"""Accounts: made with their password, unlocked with a button."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.views.decorators.debug import sensitive_post_parameters

from securedrop_ftp import clock
from securedrop_ftp.access import provisioning
from securedrop_ftp.access.certificates import EXPIRY_WARNING
from securedrop_ftp.admin.account_forms import AccountCreationForm, AccountForm, PasswordFields
from securedrop_ftp.admin.audited import AuditedAdmin, operator
from securedrop_ftp.admin.shown import utc
from securedrop_ftp.models import Account, Lockout

#: Shown, never edited.
_OBSERVED: Final = (
    "certificate_subject",
    "certificate_fingerprint",
    "certificate_expires",
    "locked_until",
    "last_login",
    "made",
    "last_changed",
)


@admin.register(Account)
class AccountAdmin(AuditedAdmin):
    """See the module's docstring. Deleting an account deletes the Django user that was made
    with it; a user who was there before stays."""

    form = AccountForm
    list_display = (
        "username",
        "partner",
        "enabled",
        "active",
        "locked_until",
        "last_login",
        "certificate_expires",
    )
    list_filter = ("enabled", "partner")
    list_select_related = ("user", "partner")
    search_fields = ("user__username", "partner__name")
    search_help_text = "A part of a user name or of a partner's."
    autocomplete_fields = ("partner",)
    actions = ("unlock_selected",)
    show_full_result_count = False
    change_form_template = "admin/securedrop_ftp/account/change_form.html"

    # --- list ------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """With the longest lockout of the name, from whatever address."""
        name = f"user__{get_user_model().USERNAME_FIELD}"
        locks = Lockout.objects.filter(username=OuterRef(name), until__gt=clock.now())
        longest = Subquery(locks.order_by("-until").values("until")[:1])
        annotated: QuerySet[Any] = super().get_queryset(request).annotate(locked=longest)
        return annotated

    def get_list_display(self, request: HttpRequest) -> Any:
        return self.list_display

    @admin.display(ordering="user__username")
    def username(self, account: Any) -> str:
        """The Django user's name."""
        return str(account.username)

    @admin.display(description="user active", boolean=True, ordering="user__is_active")
    def active(self, account: Any) -> bool:
        """The Django user's own switch."""
        return bool(account.user.is_active)

    @admin.display(description="locked until (UTC)")
    def locked_until(self, account: Any) -> str:
        """``-``: not locked out by name (its address may be)."""
        return utc(getattr(account, "locked", None))

    @admin.display(description="last login (UTC)", ordering="user__last_login")
    def last_login(self, account: Any) -> str:
        """Over FTPS or HTTP."""
        return utc(account.user.last_login)

    @admin.display(
        description="certificate expires (UTC)",
        ordering="certificate_not_after",
    )
    def certificate_expires(self, account: Any) -> str:
        """Of the client certificate that it last logged in with."""
        end = account.certificate_not_after
        if end is None:
            return "-"
        left = end - clock.now()
        note = " (expired)" if left < timedelta(0) else " (soon)" if left < EXPIRY_WARNING else ""
        return f"{end:%Y-%m-%d}{note}"

    @admin.action(description="Lift the lockouts of the selected accounts", permissions=("change",))
    def unlock_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Lift the lockouts of each user name."""
        by = operator(request)
        lifted = sum(provisioning.unlock_user(account.username, by) for account in queryset)
        self.message_user(request, f"Lockouts lifted: {lifted}.")

    # --- forms -----------------------------------------------------------------------

    def get_form(self, request: Any, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """One form makes the user and the account; another changes the account."""
        if obj is None:
            kwargs["form"] = AccountCreationForm
        return super().get_form(request, obj, change=change, **kwargs)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        settings = ("partner", "enabled", "permissions", "sub_prefix", "client_fingerprints")
        if obj is None:
            return ("username", "password1", "password2", *settings)
        return ("user_link", *settings, *_OBSERVED)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ()
        return ("user_link", *_OBSERVED)

    @admin.display(description="user")
    def user_link(self, account: Any) -> Any:
        """To the Django user, where its admin is installed."""
        user = account.user
        name = f"admin:{user._meta.app_label}_{user._meta.model_name}_change"
        if self.admin_site.is_registered(type(user)):
            return format_html(
                '<a href="{}">{}</a>',
                reverse(name, args=(user.pk,), current_app=self.admin_site.name),
                user,
            )
        return str(user)

    @method_decorator(sensitive_post_parameters())
    def add_view(self, *args: Any, **kwargs: Any) -> HttpResponse:
        """Its form holds a password."""
        return super().add_view(*args, **kwargs)

    def save_model(self, request: Any, obj: Any, form: Any, change: bool) -> None:
        """Make the user as well, where the account is new."""
        if change:
            super().save_model(request, obj, form, change)
            return
        values = form.cleaned_data
        made = provisioning.create_account(
            values["partner"],
            values["username"],
            values["password1"],
            operator(request),
            enabled=values["enabled"],
            permissions=values["permissions"],
            sub_prefix=values["sub_prefix"],
            client_fingerprints=values["client_fingerprints"],
        )
        obj.__dict__.update(made.__dict__)
        if form.generated:
            request.securedrop_password = values["password1"]

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Django's log entry; the audit row is there already."""
        return admin.ModelAdmin.log_addition(self, request, obj, message)

    def response_add(self, request: Any, obj: Any, post_url_continue: str | None = None) -> Any:
        """Show a generated password, in this one response and nowhere else."""
        password = getattr(request, "securedrop_password", None)
        if password is None:
            return super().response_add(request, obj, post_url_continue)
        return self._show_password(request, obj, password)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """With its user, where that one was made with it and serves nothing else."""
        provisioning.delete_account(obj, operator(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """One by one, each with its audit row."""
        for account in queryset:
            self.delete_model(request, account)

    def audit(self, request: HttpRequest, obj: Account, reason: str) -> None:
        """Emit ``account.changed`` in the operator's name."""
        provisioning.account_changed(obj, reason, operator(request))

    # --- password and unlock ---------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """Two pages of ours before Django's."""
        view = self.admin_site.admin_view
        return [
            path(
                "<int:pk>/password/",
                view(sensitive_post_parameters()(self.password_view)),
                name="securedrop_ftp_account_password",
            ),
            path("<int:pk>/unlock/", view(self.unlock_view), name="securedrop_ftp_account_unlock"),
            *super().get_urls(),
        ]

    def password_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Change the password: typed twice, or generated and shown once."""
        account = self._changeable(request, pk)
        try:
            provisioning.refuse_power(account)
        except ValidationError as exc:
            self.message_user(request, " ".join(exc.messages), messages.ERROR)
            return HttpResponseRedirect(self._change_url(account))
        form = PasswordFields(request.POST or None)
        if request.method == "POST" and form.is_valid():
            password = form.cleaned_data["password1"]
            provisioning.set_password(account, password, operator(request))
            if form.generated:
                return self._show_password(request, account, password)
            self.message_user(request, f"The password of {account} was changed.", messages.SUCCESS)
            return HttpResponseRedirect(self._change_url(account))
        return self._page(request, account, "password.html", "Change password", form=form)

    def unlock_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask, then lift every lockout of the name."""
        account = self._changeable(request, pk)
        if request.method == "POST":
            lifted = provisioning.unlock_user(account.username, operator(request))
            text = f"{account} is unlocked." if lifted else f"{account} was not locked out."
            self.message_user(request, text, messages.SUCCESS)
            return HttpResponseRedirect(self._change_url(account))
        return self._page(request, account, "unlock.html", "Lift the lockout")

    def _changeable(self, request: HttpRequest, pk: int) -> Account:
        account = self.get_object(request, str(pk))
        if account is None or not self.has_change_permission(request, account):
            raise PermissionDenied
        found: Account = account
        return found

    def _change_url(self, account: Account) -> str:
        return reverse(
            "admin:securedrop_ftp_account_change",
            args=(account.pk,),
            current_app=self.admin_site.name,
        )

    def _show_password(self, request: HttpRequest, account: Account, password: str) -> HttpResponse:
        page = self._page(
            request, account, "password_shown.html", "Generated password", password=password
        )
        page.headers["Cache-Control"] = "no-store"
        return page

    def _page(
        self, request: HttpRequest, account: Account, template: str, title: str, **values: Any
    ) -> TemplateResponse:
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": account,
            "title": title,
            "change_url": self._change_url(account),
            **values,
        }
        return TemplateResponse(request, f"admin/securedrop_ftp/account/{template}", context)
