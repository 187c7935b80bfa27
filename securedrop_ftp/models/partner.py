"""A partner: a company that delivers or fetches files, and the prefix that is its world."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models.functions import Length, Substr

from securedrop_ftp.conf import get_conf
from securedrop_ftp.exceptions import BadName
from securedrop_ftp.keys import RESERVED_ROOT, check_prefix
from securedrop_ftp.models.client_certificates import (
    ClientCertificates,
    check_client_ca,
    check_client_crl,
    normalise_fingerprints,
)


class Mode(models.TextChoices):
    """What a partner's accounts do, unless an account narrows it."""

    DROP = "drop", "drop: upload only"
    DROPBOX = "dropbox", "dropbox: upload, list, resume"
    PICKUP = "pickup", "pickup: list and read"
    EXCHANGE = "exchange", "exchange: everything inside the prefix"


class OverwritePolicy(models.TextChoices):
    """What happens to an upload whose name is taken."""

    REJECT = "reject", "reject: refuse before the first byte"
    REPLACE = "replace", "replace: the old file stays until the new one is verified"
    VERSION = "version", "version: store under a numbered name"


class AsciiPolicy(models.TextChoices):
    """What becomes of files that come or go under TYPE A (RFC 959 §3.1.1.1)."""

    CONVERT = "convert", "convert: CR LF becomes LF in storage, and LF becomes CR LF on the way out"
    REFUSE = "refuse", "refuse: files go under TYPE I only"
    AS_SENT = "as-sent", "as sent: not converted, as if it were TYPE I"


class Partner(models.Model):
    """See the module's docstring. ``save`` validates, so admin, commands and code agree."""

    name = models.CharField(
        max_length=64,
        unique=True,
        validators=[
            RegexValidator(
                r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z",
                "Use letters, digits, dot, dash and underscore; start with a letter or a digit.",
            )
        ],
        help_text="Letters, digits, dot, dash and underscore.",
    )
    prefix = models.CharField(
        max_length=255,
        unique=True,
        blank=True,
        help_text="Where the partner's files live in storage, ending in “/”. "
        "Empty: the name. Prefixes of two partners may not overlap.",
    )
    storage = models.CharField(
        max_length=64, default="default", help_text="An alias of Django's STORAGES."
    )
    mode = models.CharField(max_length=16, choices=Mode, default=Mode.DROP)
    overwrite = models.CharField(
        max_length=16,
        choices=OverwritePolicy,
        blank=True,
        help_text="Empty: “version” in drop mode, else “replace”.",
    )
    enabled = models.BooleanField(default=True)
    require_tls_session_reuse = models.BooleanField(
        "require TLS session reuse on data channels",
        default=True,
        help_text="Off lets anyone on the partner's address race for a data connection; only "
        "for clients that cannot resume sessions.",
    )
    accept_missing_close_notify = models.BooleanField(
        "accept uploads without TLS close_notify",
        default=False,
        db_default=False,
        help_text="For clients that end a data channel without TLS close_notify (some versions of "
        ".NET): an upload is taken nevertheless where ALLO announced exactly the bytes that came, "
        "under TYPE I, from the first byte. Without such an ALLO it is refused as ever.",
    )
    # The database's default is what existing partners had all along, here and below.
    create_directories = models.BooleanField(
        "make missing directories",
        default=False,
        db_default=True,
        help_text="On: an upload, a rename or a new directory makes the directories above its name "
        "where they are missing, mistyped ones too. Off: it is refused, and the reply names the "
        "directory that is missing; the client makes it with MKD.",
    )
    append = models.BooleanField(
        "append to finished files",
        default=False,
        db_default=False,
        help_text="On, under the policy “replace” only: APPE, and REST with STOR at its end, add "
        "to a finished file that the account stored itself. Each time the whole file is published "
        "anew, so who fetches it meets every step. At most 20 times a file in 24 hours.",
    )
    ascii = models.CharField(
        "files under TYPE A (ASCII)",
        max_length=16,
        choices=AsciiPolicy,
        default=AsciiPolicy.CONVERT,
        db_default=AsciiPolicy.AS_SENT,
        help_text="Some clients send texts, or all files, as ASCII: they put CR LF where the file "
        "has LF. “Convert” undoes that: exact where the file had no CR LF of its own.",
    )
    client_certificates = models.CharField(
        max_length=16,
        choices=ClientCertificates,
        default=ClientCertificates.OFF,
        help_text="Whether accounts show a TLS client certificate when they log in.",
    )
    client_ca = models.TextField(
        "client CA",
        blank=True,
        help_text="PEM. Who issues this partner's certificates. Empty: the fingerprints alone, "
        "else SECUREDROP_TLS_CLIENT_CA_FILE.",
    )
    client_fingerprints = models.TextField(
        blank=True,
        help_text="SHA-256, one a line. With some, only these certificates are taken; without a "
        "CA above they are trusted by themselves.",
    )
    client_crl = models.TextField(
        "client CRL",
        blank=True,
        help_text="PEM. With a list, the issuer of each certificate must have a current one.",
    )
    max_file_size = models.PositiveBigIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Bytes; empty: no limit.",
    )
    max_sessions = models.PositiveIntegerField(
        default=20, validators=[MinValueValidator(1)], help_text="Concurrent sessions."
    )
    max_passive_listeners = models.PositiveIntegerField(
        default=20,
        validators=[MinValueValidator(1)],
        help_text="Passive ports waiting for a connection at once.",
    )
    resume_window = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Seconds that an interrupted upload is kept; empty: the service's setting.",
    )
    stall_window = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(86400)],
        help_text="Seconds after which a transfer that moves nothing is given up; empty: the "
        "service's setting.",
    )
    min_transfer_rate = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Bytes a second, averaged over the window above, below which a transfer is given "
        "up; 0: what moves goes on; empty: the service's setting.",
    )
    created = models.DateTimeField(auto_now_add=True)
    changed = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    @property
    def overwrite_policy(self) -> OverwritePolicy:
        """The policy in force."""
        if self.overwrite:
            return OverwritePolicy(self.overwrite)
        return OverwritePolicy.VERSION if self.mode == Mode.DROP else OverwritePolicy.REPLACE

    def clean(self) -> None:
        """Raises ValidationError for a bad prefix, an overlap or an unknown storage alias."""
        super().clean()
        self.prefix = self.prefix or f"{self.name}/"
        if not self.prefix.endswith("/"):
            self.prefix += "/"
        try:
            check_prefix(self.prefix)
        except BadName as exc:
            raise ValidationError({"prefix": str(exc)}) from exc
        if self.prefix.startswith(RESERVED_ROOT):
            raise ValidationError({"prefix": f"“{RESERVED_ROOT}” is the service's own."})
        self._refuse_overlap()
        self._refuse_unknown_storage()
        if self.append and self.overwrite_policy != OverwritePolicy.REPLACE:
            raise ValidationError(
                {
                    "append": "Appending replaces the file each time: it needs the overwrite "
                    f"policy “replace”, and this partner has “{self.overwrite_policy.value}”. Set "
                    "“replace” with it, or leave appending off."
                }
            )
        self._clean_client_certificates()

    def _refuse_overlap(self) -> None:
        # Two aliases may name one bucket, so overlap is refused across all of them.
        others = Partner.objects.exclude(pk=self.pk).annotate(length=Length("prefix"))
        inside = others.filter(prefix__startswith=self.prefix)
        around = others.annotate(
            head=Substr(  # the stubs know no F here
                models.Value(self.prefix),
                1,
                models.F("length"),  # type: ignore[arg-type]
            )
        ).filter(head=models.F("prefix"))
        other = inside.first() or around.first()
        if other is not None:
            raise ValidationError(
                {
                    "prefix": f"“{self.prefix}” overlaps “{other.prefix}” of partner "
                    f"“{other.name}”. Choose a prefix that neither holds nor lies in another."
                }
            )

    def _refuse_unknown_storage(self) -> None:
        from django.conf import settings

        if self.storage not in settings.STORAGES:
            known = ", ".join(sorted(settings.STORAGES))
            raise ValidationError(
                {"storage": f"No storage “{self.storage}” in STORAGES. Known: {known}."}
            )

    def _clean_client_certificates(self) -> None:
        for field, check in (("client_ca", check_client_ca), ("client_crl", check_client_crl)):
            try:
                check(getattr(self, field))
            except ValidationError as exc:
                raise ValidationError({field: exc.messages}) from exc
        try:
            self.client_fingerprints = normalise_fingerprints(self.client_fingerprints)
        except ValidationError as exc:
            raise ValidationError({"client_fingerprints": exc.messages}) from exc
        needed = (ClientCertificates.REQUIRED, ClientCertificates.INSTEAD)
        if self.enabled and self.client_certificates in needed and not self._trusts_somebody():
            raise ValidationError(
                {
                    "client_certificates": "No certificate could be right: give a client CA or "
                    "fingerprints here, fingerprints of an account, or "
                    "SECUREDROP_TLS_CLIENT_CA_FILE."
                }
            )

    def _trusts_somebody(self) -> bool:
        if self.client_ca.strip() or self.client_fingerprints or get_conf().tls_client_ca_file:
            return True
        return self.pk is not None and self.accounts.exclude(client_fingerprints="").exists()

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Validate, then save; ``ValidationError`` where a field is wrong."""
        if not kwargs.get("update_fields"):
            self.full_clean()
        super().save(*args, **kwargs)
