"""What our commands share: an error is one sentence on stderr and exit code 1."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from typing import Any, Final

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError, ProgrammingError

from securedrop_ftp.db.sentences import not_migrated, unreached
from securedrop_ftp.events import Operator
from securedrop_ftp.exceptions import SecureDropError

#: Arguments that are not understood, as argparse has it; and where a command could not look.
USAGE: Final = 2
COULD_NOT_LOOK: Final = 2


class SentenceCommand(BaseCommand):
    """Turns what may go wrong into a :class:`CommandError` that says what to do."""

    requires_migrations_checks = False
    #: Exit code where the database or the disk did not let it do its work.
    code_of_faults = 1

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command.

        Raises:
            CommandError: with one sentence.
        """
        try:
            return super().execute(*args, **options)
        except ValidationError as exc:
            raise CommandError(" ".join(sentences(exc))) from exc
        except (OperationalError, InterfaceError, ProgrammingError) as exc:
            raise CommandError(database_sentence(exc), returncode=self.code_of_faults) from exc
        except SecureDropError as exc:
            raise CommandError(str(exc), returncode=self.code_of_faults) from exc
        except OSError as exc:
            raise CommandError(disk_sentence(exc), returncode=self.code_of_faults) from exc


def sentences(exc: ValidationError) -> Iterator[str]:
    """What is wrong, each with the name of its field: ``max_sessions: Ensure that …``."""
    if not hasattr(exc, "error_dict"):
        yield from exc.messages
        return
    for field, messages in exc.message_dict.items():
        named = "" if field == NON_FIELD_ERRORS else f"{field}: "
        yield from (f"{named}{message}" for message in messages)


def database_sentence(exc: Exception) -> str:
    """A failure of the database, and what to do about it."""
    text = " ".join(str(exc).split()).rstrip("?.")
    if "no such table" in text or "no such column" in text or "does not exist" in text:
        return not_migrated(text)
    return unreached(exc)


def disk_sentence(exc: OSError) -> str:
    """A failure of the operating system, with the path that it concerns."""
    where = f"{exc.filename}: " if exc.filename else ""
    return f"{where}{exc.strerror or exc}."


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # no name for this user id
        return f"uid {uid}"


def operator() -> Operator:
    """Who runs the command, for the audit trail: the process's own user, and who became it by
    sudo. The environment's ``LOGNAME`` is anybody's word."""
    uid = os.getuid()
    name = _name_of(uid)
    before = os.environ.get("SUDO_USER", "") if uid == 0 else ""
    return Operator(f"{before} as {name}" if before and before != name else name, "command")
