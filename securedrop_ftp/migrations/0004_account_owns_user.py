"""Whether an account's user was made with it: said for old accounts where it is beyond doubt."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.db import migrations, models

#: Between the making of a user object and of its account lies one password hash.
MADE_TOGETHER: Final = timedelta(seconds=60)


def note_who_was_made_with_an_account(apps: Any, schema_editor: Any) -> None:
    """An account owns its user if both were made within a minute, user first, and the user has
    nothing that this service never gives: a name, an e-mail address, a group, a permission, staff.

    Where that cannot be told (another user model, a customer who was there before) the account
    gets no power over the user: its password is then changed under Users.
    """
    accounts = apps.get_model("securedrop_ftp", "Account")
    alias = schema_editor.connection.alias
    rows = accounts._default_manager.using(alias).select_related("user")
    for account in rows.iterator(500):
        if _made_with(account):
            accounts._default_manager.using(alias).filter(pk=account.pk).update(owns_user=True)


def _made_with(account: Any) -> bool:
    user = account.user
    joined = getattr(user, "date_joined", None)
    if joined is None or not timedelta(0) <= account.created - joined <= MADE_TOGETHER:
        return False
    if any(getattr(user, name, "") for name in ("first_name", "last_name", "email")):
        return False
    if getattr(user, "is_staff", False) or getattr(user, "is_superuser", False):
        return False
    return not any(
        getattr(user, name).exists()
        for name in ("groups", "user_permissions")
        if hasattr(user, name)
    )


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("securedrop_ftp", "0003_client_certificates"),
    ]

    operations = [
        migrations.AddField(
            model_name="account",
            name="owns_user",
            field=models.BooleanField(
                default=False,
                editable=False,
                help_text="Whether the user was made with this account and serves nothing else. "
                "Where the user was there before, the account has no power over it.",
                verbose_name="made with its user",
            ),
        ),
        migrations.RunPython(note_who_was_made_with_an_account, migrations.RunPython.noop),
    ]
