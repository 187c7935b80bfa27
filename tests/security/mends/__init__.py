"""What holds each row of the security bar, and the text that takes it out again.

A test that passes is worth something only if it fails where the attack would succeed. Each
:class:`Mend` names the lines that stand against an attack (all layers of them, where several do),
the lines as they would be without, and the tests that must fail then. ``make test-mends`` tries
them all in a copy of the tree (:mod:`tests.security.mends.run`); :mod:`tests.security.test_mends`
sees to it that the table stays true to the source.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cut:
    """In ``file`` (below ``securedrop_ftp/``) ``old`` stands exactly once and becomes ``new``."""

    file: str
    old: str
    new: str

    @property
    def path(self) -> str:
        return f"securedrop_ftp/{self.file}"


@dataclass(frozen=True)
class Mend:
    """``of`` is a row's number, or an advisory's id or subject. Each of ``tests`` fails, by
    itself, when all ``cuts`` are made."""

    of: str
    attack: str
    cuts: tuple[Cut, ...]
    tests: tuple[str, ...]


def never(file: str, condition: str) -> Cut:
    """The ``if`` (or ``elif``) of that condition is never true."""
    return Cut(file, f"if {condition}:", "if False:")
