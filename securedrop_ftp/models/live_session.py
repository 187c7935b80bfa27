"""Sessions that live now, on any node: what operators watch and may end.

Workers look every few seconds and write what changed; :attr:`LiveSession.seen` is when that was.
It is a view, not a record: what happened stands in the audit trail. No index has a column that
changes, and on PostgreSQL the table is not logged: it is as short-lived as the sessions.
"""

from __future__ import annotations

from django.db import models


class LiveSession(models.Model):
    """One control connection that has logged in."""

    id = models.CharField(primary_key=True, max_length=64, verbose_name="session")
    owner = models.CharField(max_length=128, db_index=True, help_text="node:service:boot:worker")
    node = models.CharField(max_length=128)
    partner = models.CharField(max_length=64, blank=True)
    account = models.CharField(max_length=255, blank=True)
    remote_ip = models.CharField(max_length=45)
    doing = models.CharField(max_length=255, blank=True)
    bytes_moved = models.BigIntegerField(default=0)
    started = models.DateTimeField()
    seen = models.DateTimeField()
    end_requested_by = models.CharField(max_length=255, blank=True)

    class Meta:
        ordering = ("-started",)

    def __str__(self) -> str:
        return f"{self.account or 'not logged in'} from {self.remote_ip}"
