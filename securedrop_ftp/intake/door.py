"""What the intake must know of the door that an upload came through: how it words an outcome.

An audit row says what the client was told, and is written in the transaction of the outcome itself,
before anybody is told. So the words are made here, by whoever will say them.
"""

from __future__ import annotations

from typing import Protocol

from securedrop_ftp.exceptions import SecureDropError
from securedrop_ftp.intake.receipt import Receipt


class Door(Protocol):
    """Called in any thread, inside transactions: it must neither block nor fail."""

    def refused(self, error: SecureDropError) -> str:
        """What the client of an upload that failed with ``error`` is told, one line."""
        ...

    def stored(self, receipt: Receipt) -> str:
        """What the client of a stored upload is told, one line."""
        ...
