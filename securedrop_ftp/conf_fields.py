"""Fields of :class:`securedrop_ftp.conf.Conf`: a default, and what else is to know of a setting."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Setting:
    """What the checks and the reference need to know of a setting, beside its type and default.

    Attributes:
        help_text: what it is, in a line of ``docs/reference/settings.md``.
        least, most: bounds of a number, both included; ``most`` is ``None`` without a bound.
        unit: ``s``, ``bytes`` or ``""`` for what is counted.
        choices: the texts that it may be; empty for any.
        shown: the default as people say it, where the value itself says nothing.
    """

    help_text: str
    least: float | None = None
    most: float | None = None
    unit: str = ""
    choices: tuple[str, ...] = ()
    shown: str = ""

    @property
    def limits(self) -> str:
        """``between 0.1 and 3600 s``, ``at least 0 bytes``; ``""`` without bounds."""
        if self.least is None:
            return ""
        bounds = f"between {self.least} and {self.most}"
        if self.most is None:
            bounds = f"at least {self.least}"
        return f"{bounds} {self.unit}".rstrip()


#: Least and greatest value, both included; ``None``: no bound.
Bounds = tuple[float, float | None]


def number(default: T, bounds: Bounds, help_text: str) -> T:
    """A field of :class:`Conf` that counts something."""
    return _field(default, Setting(help_text, *bounds))


def seconds(default: T, bounds: Bounds, help_text: str) -> T:
    """A field of :class:`Conf` that is a time in seconds."""
    return _field(default, Setting(help_text, *bounds, unit="s"))


def size(default: T, bounds: Bounds, help_text: str) -> T:
    """A field of :class:`Conf` that is a size in bytes."""
    return _field(default, Setting(help_text, *bounds, unit="bytes"))


def choice(default: T, choices: tuple[str, ...], help_text: str, *, shown: str = "") -> T:
    """A field of :class:`Conf` that is one of some texts."""
    return _field(default, Setting(help_text, choices=choices, shown=shown))


def text(default: T, help_text: str, *, shown: str = "") -> T:
    """A field of :class:`Conf` of any other type."""
    return _field(default, Setting(help_text, shown=shown))


def _field(default: T, setting: Setting) -> T:
    found: T = field(default=default, metadata={"setting": setting})
    return found
