"""Django's commands that make a user or change a password, with the audit row that they lack."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models.signals import post_save

from securedrop_ftp.events import Event
from securedrop_ftp.management.base import operator
from securedrop_ftp.signals import emit


@contextmanager
def told(what: str) -> Iterator[None]:
    """While it lasts, each user that is saved leaves a row ``what by …``.

    The commands ask questions in between, so no transaction is held around them: where the row
    cannot be written the command fails, and says so, after the user was saved.
    """

    def on_save(sender: Any, instance: Any, **kwargs: Any) -> None:
        by = operator()
        emit(
            Event(
                "account.changed",
                account=instance.get_username(),
                actor=by.name,
                reason=f"{what} by {by}",
            )
        )

    model = get_user_model()
    post_save.connect(on_save, sender=model, dispatch_uid=__name__, weak=False)
    try:
        yield
    finally:
        post_save.disconnect(sender=model, dispatch_uid=__name__)
