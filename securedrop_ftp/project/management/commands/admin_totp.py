"""``admin_totp``: a second factor for an operator of the admin site."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from django_otp.plugins.otp_totp.models import TOTPDevice

from securedrop_ftp.events import Event
from securedrop_ftp.management.base import SentenceCommand, operator
from securedrop_ftp.signals import emit


class Command(SentenceCommand):
    """See ``help``."""

    help = (
        "Give an operator a second factor (TOTP) for the admin site, in place of the one they "
        "have, and print the address that an authenticator app takes, once. From then on their "
        "login asks for its code; SECUREDROP_ADMIN_REQUIRE_TOTP=true asks everyone."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take USERNAME and ``--remove``."""
        parser.add_argument("username", help="a user of the admin site")
        parser.add_argument("--remove", action="store_true", help="take the second factor away")

    def handle(self, *args: Any, **options: Any) -> None:
        """Enrol a second factor, or remove the user's."""
        model = get_user_model()
        name = options["username"]
        user = model._default_manager.filter(**{model.USERNAME_FIELD: name}).first()
        if user is None:
            raise CommandError(f"There is no user “{name}”.")
        with transaction.atomic():
            removed, _ = TOTPDevice.objects.filter(user=user).delete()
            device = None
            if not options["remove"]:
                device = TOTPDevice.objects.create(user=user, name="totp")
            if device is not None or removed:
                act = "set" if device is not None else "removed"
                by = operator()
                reason = f"second factor {act} by {by}"
                emit(Event("account.changed", account=name, reason=reason, actor=by.name))
        if device is not None:
            self.stderr.write("Add this address to an authenticator app; it is shown once:")
            self.stdout.write(device.config_url)
        elif removed:
            self.stdout.write(f"{name}: second factor removed.")
        else:
            self.stdout.write(f"{name} had no second factor.")
