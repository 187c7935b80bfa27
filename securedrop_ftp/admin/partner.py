"""Partners, with their network rules and accounts."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import mark_safe

from securedrop_ftp.access.certificates import described
from securedrop_ftp.access.provisioning import partner_changed
from securedrop_ftp.admin.audited import AuditedAdmin, operator
from securedrop_ftp.admin.typed import ModelForm, TabularInline
from securedrop_ftp.intake.relocation import refuse_to_leave_files
from securedrop_ftp.models import Account, IPRule, Partner


class PartnerForm(ModelForm):
    """Offers the storages that there are."""

    class Meta:
        model = Partner
        fields = "__all__"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        aliases = sorted(alias for alias in settings.STORAGES if alias != "staticfiles")
        current = self.instance.storage
        if current and current not in aliases:
            aliases.append(current)
        if "storage" in self.fields:
            self.fields["storage"] = forms.ChoiceField(
                choices=[(alias, alias) for alias in aliases],
                initial="default",
                help_text=self.fields["storage"].help_text,
            )

    def clean(self) -> Any:
        """Raises ValidationError where the partner would leave its files behind."""
        cleaned = super().clean() or self.cleaned_data
        if self.instance.pk is not None and {"prefix", "storage"} & set(self.changed_data):
            now = Partner.objects.get(pk=self.instance.pk)
            try:
                refuse_to_leave_files(
                    now, cleaned.get("prefix", now.prefix), cleaned.get("storage", now.storage)
                )
            except ValidationError as exc:
                name = "prefix" if "prefix" in self.changed_data else "storage"
                raise ValidationError({name: exc.messages}) from exc
        return cleaned


class IPRuleInline(TabularInline):
    """Where the partner may come from."""

    model = IPRule
    extra = 0
    verbose_name_plural = "IP rules: deny wins; with any allow rule, an address must match one"


class AccountInline(TabularInline):
    """The partner's logins; each is changed on its own page."""

    model = Account
    fields = ("user", "enabled", "sub_prefix", "created")
    readonly_fields = fields
    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Account]:
        return super().get_queryset(request).select_related("user", "partner")


@admin.register(Partner)
class PartnerAdmin(AuditedAdmin):
    """A partner is disabled, not deleted: its ledger and audit rows refer to it."""

    form = PartnerForm
    list_display = ("name", "mode", "prefix", "storage", "enabled", "accounts")
    list_filter = ("mode", "enabled", "storage")
    search_fields = ("name", "prefix")
    inlines = (IPRuleInline, AccountInline)
    readonly_fields = ("issuers", "failures", "made", "last_changed")
    fieldsets = (
        (None, {"fields": ("name", "enabled", "mode", "overwrite", "append")}),
        ("Storage", {"fields": ("storage", "prefix", "create_directories")}),
        (
            "Limits",
            {
                "fields": (
                    "max_file_size",
                    "max_sessions",
                    "max_passive_listeners",
                    "resume_window",
                    "stall_window",
                    "min_transfer_rate",
                )
            },
        ),
        ("Clients", {"fields": ("ascii", "accept_missing_close_notify")}),
        ("Security", {"fields": ("require_tls_session_reuse",)}),
        (
            "Client certificates",
            {
                "fields": (
                    "client_certificates",
                    "client_ca",
                    "client_fingerprints",
                    "client_crl",
                    "issuers",
                )
            },
        ),
        (None, {"fields": ("failures", "made", "last_changed")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """With the number of accounts."""
        rows: QuerySet[Any] = super().get_queryset(request)
        annotated: QuerySet[Any] = rows.annotate(account_count=Count("accounts"))
        return annotated

    @admin.display(description="accounts", ordering="account_count")
    def accounts(self, partner: Any) -> int:
        """How many logins the partner has."""
        count: int = partner.account_count
        return count

    @admin.display(description="issuers and lists", empty_value="-")
    def issuers(self, partner: Any) -> Any:
        """What the PEM texts say, for people."""
        return format_html_join(mark_safe("<br>"), "{}", ((line,) for line in described(partner)))

    @admin.display(description="failed sessions", empty_value="-")
    def failures(self, partner: Partner) -> str:
        """The way to their rows: what client it is, what failed, and what to do."""
        if partner._state.adding:
            return ""
        asked = {"partner": partner.name, "event": "session.closed", "outcome": "failure"}
        url = reverse("admin:securedrop_ftp_auditevent_changelist")
        return format_html(
            '<a href="{}?{}">What its sessions failed with</a>; in plain words: '
            "<code>doctor --partner {}</code>",
            url,
            urlencode(asked),
            partner.name,
        )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def audit(self, request: HttpRequest, obj: Partner, reason: str) -> None:
        """Emit ``partner.changed`` in the operator's name."""
        partner_changed(obj, reason, operator(request))
