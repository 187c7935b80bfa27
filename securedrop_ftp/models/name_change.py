"""A rename or a deletion that is under way: the claim on its names, and how far it has come."""

from __future__ import annotations

import uuid

from django.db import models

from securedrop_ftp import clock
from securedrop_ftp.models.account import Account
from securedrop_ftp.models.partner import Partner


class NameChangeKind(models.TextChoices):
    """What is done to a name."""

    RENAME = "rename", "rename"
    DELETE = "delete", "delete"


class NameChangeState(models.TextChoices):
    """``claimed → moving (→ copied)``; then the row is removed, and the trail tells the outcome."""

    CLAIMED = "claimed", "claimed: nothing was asked of storage yet"
    MOVING = "moving", "moving: storage was asked, and may or may not have done it"
    COPIED = "copied", "copied: all is at the target, the source is being removed"


class NameChange(models.Model):
    """While a row stands, nobody else publishes, renames or deletes at its keys, and of a directory
    below them. A live upload goes before: who finds one takes the row back
    (:mod:`securedrop_ftp.intake.name_changes`)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=16, choices=NameChangeKind)
    state = models.CharField(
        max_length=16, choices=NameChangeState, default=NameChangeState.CLAIMED
    )
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="+")
    account = models.ForeignKey(Account, on_delete=models.SET_NULL, null=True, related_name="+")
    username = models.CharField(max_length=255)
    session = models.CharField(max_length=64, blank=True)
    remote_ip = models.GenericIPAddressField(null=True)

    storage = models.CharField(max_length=64)
    source = models.CharField(max_length=1024, help_text="The object key, without a trailing “/”.")
    target = models.CharField(max_length=1024, blank=True, help_text="Of a rename: the new key.")
    source_path = models.CharField(max_length=1024, help_text="The FTP path that was named.")
    target_path = models.CharField(max_length=1024, blank=True)
    directory = models.BooleanField(default=False)
    upload_id = models.UUIDField(null=True, help_text="The upload that stored the source.")
    target_etag = models.CharField(
        max_length=255, blank=True, help_text="Of the file that the rename replaces."
    )

    told = models.CharField(
        max_length=255, blank=True, help_text="What the client was told, where the outcome is open."
    )

    owner = models.CharField(max_length=128, help_text="node:service:boot:worker")
    lease_until = models.DateTimeField()
    started = models.DateTimeField(default=clock.now, editable=False)
    updated = models.DateTimeField(default=clock.now)

    class Meta:
        indexes = [models.Index(fields=("storage", "lease_until"), name="securedrop_change_lease")]

    def __str__(self) -> str:
        return f"{self.kind} {self.source_path} ({self.state})"

    @property
    def paths(self) -> str:
        """Both paths of a rename, as the trail has them; of a deletion the one. ``version`` may
        have taken a numbered name, which stands in the key."""
        if not self.target:
            return self.source_path
        directory, name = self.target_path.rpartition("/")[0], self.target.rpartition("/")[2]
        return f"{self.source_path} -> {directory}/{name}"

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that it claims."""
        return (self.source, self.target) if self.target else (self.source,)
