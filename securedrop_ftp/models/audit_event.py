"""The audit trail: append-only rows with a gapless number, and the chain's head."""

from __future__ import annotations

import uuid
from typing import Any, NoReturn

from django.db import models

from securedrop_ftp.exceptions import SecureDropError


class AppendOnly(SecureDropError):
    """Audit rows are never changed nor removed through the ORM."""


class AuditEventQuerySet(models.QuerySet["AuditEvent"]):
    """Reading only."""

    def update(self, **kwargs: Any) -> NoReturn:
        """Raise ``AppendOnly``: rows are never changed."""
        raise AppendOnly("Audit rows are append-only: they cannot be updated.")

    def delete(self) -> NoReturn:
        """Raise ``AppendOnly``: rows are never deleted."""
        raise AppendOnly("Audit rows are append-only: they cannot be deleted.")


class AuditEvent(models.Model):
    """One act. The columns are those of ``audit_export``; texts hold no control characters."""

    seq = models.BigIntegerField(primary_key=True)
    event_id = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    time = models.DateTimeField()
    event = models.CharField(max_length=32)
    partner = models.CharField(max_length=64, blank=True)
    account = models.CharField(max_length=255, blank=True)
    remote_ip = models.CharField(max_length=45, blank=True)
    session = models.CharField(max_length=64, blank=True)
    path = models.TextField(blank=True)
    size = models.BigIntegerField(null=True)
    sha256 = models.CharField(max_length=64, blank=True)
    outcome = models.CharField(max_length=16, blank=True)
    reason = models.CharField(max_length=500, blank=True)
    reply = models.CharField(max_length=500, blank=True)
    # Of rows since version 2, details since version 3; NULL in those before, so that a node of the
    # release before can write on while this one is rolled out.
    version = models.PositiveSmallIntegerField(null=True)
    partner_id = models.BigIntegerField(null=True)
    actor = models.CharField(max_length=255, null=True)
    details = models.JSONField(null=True)
    prev_hash = models.CharField(max_length=64, blank=True)
    hash = models.CharField(max_length=64, blank=True)

    objects = AuditEventQuerySet.as_manager()

    class Meta:
        ordering = ("-seq",)
        # Admin lists newest first, filtered by one of these, a page by keyset at a time: each
        # list is one range of one index, however long the trail is. The columns behind the key
        # answer a second filter inside the index (partner and rare event: 5 s without, seen).
        indexes = [
            models.Index(fields=("-time", "-seq"), name="securedrop_audit_time"),
            *(
                models.Index(
                    fields=(column, "-time", "-seq", *more), name=f"securedrop_audit_{column}"
                )
                for column, more in (
                    ("event", ("partner",)),
                    ("outcome", ("partner",)),
                    ("partner", ("event", "outcome")),
                    ("account", ("event", "outcome")),
                    ("session", ()),
                    ("remote_ip", ()),
                )
            ),
            models.Index(fields=("sha256",), name="securedrop_audit_sha256"),
            # Rows of operators' changes only: few, so that other rows do not pay for it.
            models.Index(
                fields=("actor", "-time", "-seq"),
                name="securedrop_audit_actor",
                condition=models.Q(actor__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.seq} {self.event}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert the row; ``AppendOnly`` where it is in the table already."""
        if not self._state.adding:
            raise AppendOnly("Audit rows are append-only: they cannot be updated.")
        kwargs["force_insert"] = True
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise ``AppendOnly``: rows are never deleted."""
        raise AppendOnly("Audit rows are append-only: they cannot be deleted.")


class AuditHead(models.Model):
    """One row (id 1): the last number given and its hash. Its row lock puts writers in order."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    seq = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=64, blank=True)
