"""What a check found, as one line."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from django.core.checks import CheckMessage

from securedrop_ftp.escaping import escape


class Level(StrEnum):
    """``problem`` makes the command exit with 1."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, what is the matter, how to mend it."""

    level: Level
    check: str
    text: str
    mend: str = ""

    def row(self) -> dict[str, str]:
        """The finding as texts, for tables and JSON; nothing in it can move a cursor."""
        return {
            "level": self.level.value,
            "check": self.check,
            "text": escape(self.text, 2000),
            "mend": escape(self.mend, 2000),
        }

    def __str__(self) -> str:
        words = escape(f"{self.text} {self.mend}".strip(), 2000)
        return f"{self.level.value:<8} {self.check}: {words}"


def ok(check: str, text: str) -> Finding:
    """A finding that says that all is well."""
    return Finding(Level.OK, check, text)


def warning(check: str, text: str, mend: str) -> Finding:
    """It works, and may not for long or for everyone."""
    return Finding(Level.WARNING, check, text, mend)


def problem(check: str, text: str, mend: str) -> Finding:
    """Something does not work."""
    return Finding(Level.PROBLEM, check, text, mend)


def from_message(check: str, message: CheckMessage) -> Finding:
    """A system check's message."""
    level = Level.PROBLEM if message.is_serious() else Level.WARNING
    return Finding(level, check, str(message.msg), f"{message.hint or ''} ({message.id})".strip())
