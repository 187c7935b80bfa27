"""Which services run, on any node: one row for each run of a service, which it keeps fresh."""

from __future__ import annotations

from django.db import models


class ServiceBoot(models.Model):
    """Written by its own workers every few seconds, by the database's clock. A service removes its
    row when it ends; one that died leaves it, and it grows old."""

    id = models.CharField(primary_key=True, max_length=64, verbose_name="boot")
    node = models.CharField(max_length=128)
    service = models.CharField(max_length=16)
    machine = models.CharField(max_length=128, help_text="The kernel's run and the pid namespace.")
    pid = models.PositiveIntegerField()
    pid_started = models.CharField(max_length=32, help_text="In the kernel's ticks.")
    since = models.DateTimeField()
    beat = models.DateTimeField()

    class Meta:
        ordering = ("-since",)

    def __str__(self) -> str:
        return f"{self.node}:{self.service}:{self.id}"
