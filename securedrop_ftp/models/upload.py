"""The ledger: one row for every upload that was begun, written before what it says is done."""

from __future__ import annotations

import uuid

from django.db import models

from securedrop_ftp import clock
from securedrop_ftp.escaping import escape
from securedrop_ftp.models.account import Account
from securedrop_ftp.models.partner import Partner


class UploadState(models.TextChoices):
    """``receiving → publishing → committed``, or ``suspended``, or ``aborted``.

    What is refused before its first byte has no row: it stands in the audit trail.
    """

    RECEIVING = "receiving", "receiving"
    PUBLISHING = "publishing", "publishing"
    COMMITTED = "committed", "committed"
    SUSPENDED = "suspended", "suspended"
    ABORTED = "aborted", "aborted"


LIVE = (UploadState.RECEIVING, UploadState.PUBLISHING)


class Upload(models.Model):
    """A lease and an epoch on ``(storage, key)`` make one writer of many sessions: at most one
    row of a key is live, and every change of a live row names its epoch."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="uploads")
    account = models.ForeignKey(
        Account, on_delete=models.SET_NULL, null=True, related_name="uploads"
    )
    username = models.CharField(max_length=255, help_text="As it was, whatever becomes of it.")
    session = models.CharField(max_length=64, blank=True)
    remote_ip = models.GenericIPAddressField(null=True)

    storage = models.CharField(max_length=64)
    backend = models.CharField(max_length=32)
    key = models.CharField(max_length=1024, help_text="The final object key.")
    path = models.CharField(max_length=1024, help_text="The FTP path that the client named.")
    policy = models.CharField(max_length=16)
    replaces = models.BooleanField(
        default=False,
        db_default=False,
        help_text="A finished file of the name may be replaced: decided when it was admitted.",
    )

    state = models.CharField(max_length=16, choices=UploadState, default=UploadState.RECEIVING)
    epoch = models.PositiveIntegerField(default=1)
    owner = models.CharField(
        max_length=128, blank=True, help_text="node:service:boot:worker of the writer"
    )
    node = models.CharField(max_length=128, blank=True)
    lease_until = models.DateTimeField(null=True)

    part_size = models.PositiveIntegerField(default=0)
    parts = models.JSONField(
        default=list, help_text="[number, offset, size, token] of each part that storage took."
    )
    received = models.PositiveBigIntegerField(
        default=0, help_text="Bytes known to have come; after a crash those in recorded parts."
    )
    resume_token = models.TextField(blank=True, help_text="Encrypted; never shown.")
    digest_state = models.BinaryField(
        null=True,
        help_text="SHA-256's midstates after the last two parts; of a finished file that may be "
        "appended to, at its end.",
    )
    digest_source = models.CharField(
        max_length=16, blank=True, help_text="stream, midstate or readback"
    )
    resumed_at = models.PositiveBigIntegerField(null=True, help_text="The join offset.")

    appends_to = models.UUIDField(
        null=True,
        help_text="The upload whose file this one begins with (APPE to a finished file). Such an "
        "upload is not resumed.",
    )
    converted = models.BooleanField(
        default=False,
        db_default=False,
        help_text="What is stored differs from what came (TYPE A): such an upload is not resumed.",
    )
    sent_size = models.PositiveBigIntegerField(
        null=True, help_text="Bytes that came, where they were converted."
    )
    sent_sha256 = models.CharField(max_length=64, blank=True, default="", db_default="")

    size = models.PositiveBigIntegerField(null=True)
    sha256 = models.CharField(max_length=64, blank=True)
    reason = models.CharField(max_length=255, blank=True)
    unconfirmed = models.BooleanField(
        default=False,
        help_text="Committed, but the client was told “outcome pending” or nothing: a retry of "
        "the same bytes is answered from this row.",
    )

    current = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Committed, and what it stored has its key still: neither replaced nor deleted "
        "by anybody here. A rename takes key and path along.",
    )

    started = models.DateTimeField(default=clock.now, editable=False)
    updated = models.DateTimeField(default=clock.now, editable=False)
    finished = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-started",)
        constraints = [
            models.UniqueConstraint(
                fields=("storage", "key"),
                condition=models.Q(state__in=("receiving", "publishing")),
                name="securedrop_one_writer",
            )
        ]
        indexes = [
            models.Index(fields=("state", "lease_until"), name="securedrop_upload_lease"),
            models.Index(fields=("storage", "key", "state"), name="securedrop_upload_key"),
            models.Index(
                fields=("storage", "key"),
                condition=models.Q(current=True),
                name="securedrop_upload_current",
            ),
            # Admin's lists: newest first, filtered by one of these, by keyset.
            models.Index(fields=("-started", "-id"), name="securedrop_upload_started"),
            models.Index(
                fields=("partner", "-started", "-id", "state"), name="securedrop_upload_partner"
            ),
            models.Index(
                fields=("state", "-started", "-id", "partner"), name="securedrop_upload_state"
            ),
            models.Index(fields=("username", "-started", "-id"), name="securedrop_upload_user"),
            models.Index(fields=("sha256",), name="securedrop_upload_sha256"),
            models.Index(fields=("account", "path", "state"), name="securedrop_upload_path"),
        ]

    def __str__(self) -> str:
        return f"{escape(self.path, 255)} ({self.state})"
