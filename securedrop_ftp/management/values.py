"""Values of options: on or off, a number or a word."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import Final

from django.core.management.base import CommandParser

_SWITCH: Final = {"on": True, "off": False}


def on_or_off(text: str) -> bool:
    """``on`` or ``off``; raises ArgumentTypeError for another word."""
    try:
        return _SWITCH[text.lower()]
    except KeyError:
        raise ArgumentTypeError(f"“{text}” is neither on nor off") from None


def add_switch(parser: CommandParser, name: str, help_text: str) -> None:
    """An option that takes ``on`` or ``off``, and is ``None`` where it is not given."""
    parser.add_argument(name, type=on_or_off, metavar="on|off", help=help_text)


def number_or(word: str) -> Callable[[str], int | str]:
    """A type of option: a whole number, or ``word``, which becomes ``""``."""

    def parse(text: str) -> int | str:
        if text.lower() == word:
            return ""
        try:
            return int(text)
        except ValueError:
            raise ArgumentTypeError(f"“{text}” is neither a whole number nor “{word}”") from None

    return parse
