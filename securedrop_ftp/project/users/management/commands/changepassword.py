"""``changepassword``: Django's, with an audit row."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management.commands import changepassword

from securedrop_ftp.project.users.told import told


class Command(changepassword.Command):
    """See Django's documentation."""

    def handle(self, *args: Any, **options: Any) -> str | None:
        """Ask, change, and tell the trail."""
        with told("password changed"):
            answer: str | None = super().handle(*args, **options)
        return answer
