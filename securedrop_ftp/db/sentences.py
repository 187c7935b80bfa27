"""A database that fails, in words for an operator."""

from __future__ import annotations

from django.db import connections

from securedrop_ftp.invocation import command_line


def first_line(exc: Exception) -> str:
    """What the database says, without what libpq guesses in the lines below, and without the full
    stop."""
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0].rstrip("?. ")


def unreached(exc: Exception) -> str:
    """Why the default database cannot be used, and what to do about it."""
    return f"The database cannot be reached: {first_line(exc)}. {remedy(exc)}"


def not_migrated(what: str) -> str:
    """``what``: which tables or migrations are missing."""
    return f"The database is not up to date ({what}): run “{command_line('migrate')}” first."


def remedy(exc: Exception) -> str:
    """What to do where the default database failed with ``exc``."""
    settings = connections["default"].settings_dict
    if not str(settings["ENGINE"]).endswith("sqlite3"):
        return "Check SECUREDROP_DATABASE_URL, and whether its server runs."
    name, text = settings["NAME"], str(exc)
    if "locked" in text:
        return f"Another process writes to {name}: try again."
    if "full" in text:
        return f"Make room on the disk of {name}."
    # SQLite says “unable to open database file” for most other reasons, and names no file.
    return (
        f"See that the user who runs this may read and write {name}, and make files in its folder. "
        "SECUREDROP_DATA_DIR names another folder, SECUREDROP_DATABASE_URL another database."
    )
