"""Lockout state: guesses that are counted before they are checked (invariant 7)."""

from __future__ import annotations

from django.db import models


class LoginAttempt(models.Model):
    """One password that may be, is being, or was checked in vain.

    A row is inserted as ``reserved`` before the password is verified, becomes ``failed`` when it
    was wrong and is deleted when it was right. A reservation whose owner died stays and counts.
    """

    class State(models.TextChoices):
        """``reserved → failed``."""

        RESERVED = "reserved", "reserved"
        FAILED = "failed", "failed"

    source = models.CharField(max_length=64, help_text="The address, or the /64 of an IPv6 one.")
    username = models.CharField(max_length=255, blank=True)
    state = models.CharField(max_length=8, choices=State, default=State.RESERVED)
    started = models.DateTimeField()

    class Meta:
        ordering = ("-started",)
        indexes = [
            models.Index(fields=("source", "started"), name="securedrop_attempt_source"),
            models.Index(fields=("username",), name="securedrop_attempt_username"),
            models.Index(fields=("started",), name="securedrop_attempt_started"),
        ]

    def __str__(self) -> str:
        return f"{self.username} from {self.source} ({self.state})"


class Lockout(models.Model):
    """Who is locked out and until when. ``username`` is ``""`` for a whole address.

    The row of a whole address is also the row lock that puts that address's attempts in order.
    """

    source = models.CharField("address", max_length=64)
    username = models.CharField(max_length=255, blank=True)
    since = models.DateTimeField(null=True, help_text="When the last lockout began.")
    until = models.DateTimeField(null=True, db_index=True)
    touched = models.DateTimeField(help_text="The last attempt.")

    class Meta:
        ordering = ("-until",)
        constraints = [
            models.UniqueConstraint(fields=("source", "username"), name="securedrop_lockout_once")
        ]
        indexes = [
            models.Index(fields=("username",), name="securedrop_lockout_username"),
            models.Index(fields=("touched",), name="securedrop_lockout_touched"),
        ]

    def __str__(self) -> str:
        return f"{self.username or 'everyone'} from {self.source}"
