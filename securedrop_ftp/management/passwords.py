"""A password never stands on the command line, where other users of the machine read it."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandError
from django.views.decorators.debug import sensitive_variables

from securedrop_ftp.access.provisioning import check_new_password, generate_password


def add_password_sources(group: Any) -> None:
    """``--password-stdin`` and ``--generate-password``, in a group of arguments."""
    group.add_argument(
        "--password-stdin", action="store_true", help="read the password's line from stdin"
    )
    group.add_argument("--generate-password", action="store_true", help="make one and print it")


@sensitive_variables("password")
def password_from(options: dict[str, Any]) -> str:
    """The password that the options ask for.

    Raises:
        CommandError: none came.
        ValidationError: it is too weak, or no client could send it.
    """
    if options["generate_password"]:
        return generate_password()
    if sys.stdin.isatty():
        sys.stderr.write("Password, then Enter: ")
        sys.stderr.flush()
    try:
        password = sys.stdin.readline().rstrip("\r\n")
    except UnicodeDecodeError as exc:
        raise CommandError("The password is not valid UTF-8.") from exc
    if not password:
        raise CommandError("No password came on standard input.")
    check_new_password(password)
    return password
