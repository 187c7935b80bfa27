"""``createsuperuser``: Django's, with an audit row."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management.commands import createsuperuser

from securedrop_ftp.project.users.told import told


class Command(createsuperuser.Command):
    """See Django's documentation."""

    def handle(self, *args: Any, **options: Any) -> None:
        """Ask, make, and tell the trail."""
        with told("superuser created"):
            super().handle(*args, **options)
