"""An account: one Django user that may log in for a partner."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models

from securedrop_ftp.exceptions import BadName
from securedrop_ftp.keys import check_prefix
from securedrop_ftp.models.client_certificates import normalise_fingerprints
from securedrop_ftp.models.partner import Partner
from securedrop_ftp.models.permissions import DEFAULT_PERMISSIONS, Permission


def is_staff(user: Any) -> bool:
    """Whether a user has power elsewhere: such users neither get an account nor log in with one.
    User models of other projects may know no staff."""
    return bool(getattr(user, "is_staff", False) or getattr(user, "is_superuser", False))


class Account(models.Model):
    """Permissions come from the partner's mode; ``permissions`` may narrow them, never widen."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="ftps_account"
    )
    owns_user = models.BooleanField(
        "made with its user",
        default=False,
        editable=False,
        help_text="Whether the user was made with this account and serves nothing else. Where the "
        "user was there before, the account has no power over it.",
    )
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="accounts")
    permissions = models.JSONField(
        default=list,
        blank=True,
        help_text="Narrower than the partner's mode: a list of permission names; empty: the "
        "mode's.",
    )
    sub_prefix = models.CharField(
        max_length=255,
        blank=True,
        help_text="A directory inside the partner's prefix that is this account's root.",
    )
    client_fingerprints = models.TextField(
        blank=True,
        help_text="SHA-256 of this account's own client certificates, one a line: only these log "
        "it in, and they go before the partner's.",
    )
    enabled = models.BooleanField(default=True)
    certificate_subject = models.CharField(
        "last certificate", max_length=255, blank=True, editable=False
    )
    certificate_fingerprint = models.CharField(
        "its SHA-256", max_length=64, blank=True, editable=False
    )
    certificate_not_after = models.DateTimeField("it expires", null=True, editable=False)
    created = models.DateTimeField(auto_now_add=True)
    changed = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("user__username",)

    def __str__(self) -> str:
        return self.username

    @property
    def username(self) -> str:
        """The Django user's name: what USER sends."""
        return self.user.get_username()

    @property
    def governs_user(self) -> bool:
        """Whether power over this account is power over its user: to set the password, and to
        delete it. Asked at each act, because a user may have become one of the staff since."""
        return self.owns_user and not is_staff(self.user)

    @property
    def effective_permissions(self) -> frozenset[Permission]:
        """The mode's permissions, narrowed."""
        given = DEFAULT_PERMISSIONS[self.partner.mode]
        return given & {Permission(p) for p in self.permissions} if self.permissions else given

    @property
    def root(self) -> str:
        """The key prefix that this account sees as ``/``; ends in ``/``."""
        return self.partner.prefix + self.sub_prefix

    def clean(self) -> None:
        """Raises ValidationError for permissions that the mode does not give and a bad
        sub-prefix."""
        super().clean()
        if self.partner_id is not None:
            self._clean_permissions()
        if self.sub_prefix:
            if not self.sub_prefix.endswith("/"):
                self.sub_prefix += "/"
            try:
                check_prefix(self.sub_prefix)
            except BadName as exc:
                raise ValidationError({"sub_prefix": str(exc)}) from exc
        try:
            self.client_fingerprints = normalise_fingerprints(self.client_fingerprints)
        except ValidationError as exc:
            raise ValidationError({"client_fingerprints": exc.messages}) from exc

    def _clean_permissions(self) -> None:
        if not isinstance(self.permissions, list):
            raise ValidationError({"permissions": "A list of permission names is expected."})
        allowed = DEFAULT_PERMISSIONS[self.partner.mode]
        wrong = [p for p in self.permissions if p not in {a.value for a in allowed}]
        if wrong:
            names = ", ".join(sorted(allowed))
            raise ValidationError(
                {
                    "permissions": f"{', '.join(map(repr, wrong))}: not given by mode "
                    f"“{self.partner.mode}”, which gives {names}."
                }
            )

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Validate, then save; ``ValidationError`` where a field is wrong."""
        if not kwargs.get("update_fields"):
            self.full_clean()
        super().save(*args, **kwargs)
