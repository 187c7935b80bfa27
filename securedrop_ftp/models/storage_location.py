"""Where each alias of ``STORAGES`` was seen to lead: what tells a folder that vanished, or another
bucket, from the one that the ledger's files are in."""

from __future__ import annotations

from django.db import models


class StorageLocation(models.Model):
    """One alias. Written when it is first used, and when an operator adopts another location."""

    alias = models.CharField(primary_key=True, max_length=64)
    mark = models.CharField(
        max_length=100, blank=True, help_text="What the location carries, where it carries one."
    )
    place = models.CharField(max_length=1024, help_text="The directory, or the bucket and prefix.")
    since = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.alias}: {self.place}"
