"""Network rules: from where a partner may come."""

from __future__ import annotations

import ipaddress
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

from securedrop_ftp.models.partner import Partner


class IPRule(models.Model):
    """Deny wins. Where a partner has any allow rule, an address must match one."""

    class Action(models.TextChoices):
        """What a match means."""

        ALLOW = "allow", "allow"
        DENY = "deny", "deny"

    partner = models.ForeignKey(Partner, on_delete=models.CASCADE, related_name="ip_rules")
    action = models.CharField(max_length=8, choices=Action, default=Action.ALLOW)
    network = models.CharField(
        max_length=64,
        help_text="An address or a network: 192.0.2.7, 198.51.100.0/24, 2001:db8::/32.",
    )
    note = models.CharField(max_length=200, blank=True)

    class Meta:
        verbose_name = "IP rule"
        ordering = ("partner", "action", "network")
        constraints = [
            models.UniqueConstraint(
                fields=("partner", "action", "network"), name="securedrop_ip_rule_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.network}"

    def clean(self) -> None:
        """Raises ValidationError for what is not a network; stores its canonical form."""
        super().clean()
        try:
            self.network = str(ipaddress.ip_network(self.network.strip()))
        except ValueError as exc:
            raise ValidationError(
                {
                    "network": f"“{self.network}” is not an address or a network: {exc}. "
                    "Write 192.0.2.7 or 198.51.100.0/24."
                }
            ) from exc

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Validate, then save; ``ValidationError`` where a field is wrong."""
        if not kwargs.get("update_fields"):
            self.full_clean()
        super().save(*args, **kwargs)
