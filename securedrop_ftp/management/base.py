"""What our commands share: an error is one sentence on stderr and exit code 1."""

from __future__ import annotations

import getpass
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, InterfaceError, OperationalError, ProgrammingError

from securedrop_ftp.events import Operator
from securedrop_ftp.exceptions import SecureDropError


class SentenceCommand(BaseCommand):
    """Turns what may go wrong into a :class:`CommandError` that says what to do."""

    requires_migrations_checks = False

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command.

        Raises:
            CommandError: with one sentence.
        """
        try:
            return super().execute(*args, **options)
        except ValidationError as exc:
            raise CommandError(" ".join(exc.messages)) from exc
        except (OperationalError, InterfaceError, ProgrammingError) as exc:
            raise CommandError(_database_sentence(exc)) from exc
        except SecureDropError as exc:
            raise CommandError(str(exc)) from exc


def _database_sentence(exc: DatabaseError | InterfaceError) -> str:
    text = " ".join(str(exc).split()).rstrip("?.")
    if "no such table" in text or "does not exist" in text:
        return f"The database has no tables of ours ({text}). Run “manage.py migrate” first."
    return f"The database did not answer: {text}. Check SECUREDROP_DATABASE_URL."


def operator() -> Operator:
    """Who runs the command, for the audit trail."""
    try:
        return Operator(getpass.getuser(), "command")
    except (KeyError, OSError):  # no name for this user id
        return Operator("command")
