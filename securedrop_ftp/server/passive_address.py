"""The address that replies to PASV tell: as set, or what a host name means just now.

A name is looked up again and again (an elastic address moves, a home line gets a new one), on a
thread of its own, one lookup at a time: a resolver that hangs holds nothing else up. Where it
fails, the last good answer goes on, also over a restart: it is kept in the data directory, so each
node has its own.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from securedrop_ftp.access import network
from securedrop_ftp.db.threads import thread as new_thread
from securedrop_ftp.log import get_logger

logger = get_logger(__name__)

#: How long a worker's start waits for the first answer, seconds.
PATIENCE: Final = 5.0
_FILE: Final = "passive_address.json"


def lookup(name: str) -> list[str]:
    """The IPv4 addresses of a name. PASV speaks no other (RFC 959 §4.1.2).

    Raises:
        OSError: the resolver does not answer, or there is none.
        UnicodeError: not a name that DNS can hold.
    """
    found = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
    return sorted({str(row[4][0]) for row in found})


def remembered(data_dir: Path, name: str) -> str:
    """The last good answer for that name; ``""`` where there is none."""
    try:
        kept = json.loads((data_dir / _FILE).read_text())
        return str(network.normalise(kept["address"])) if kept["name"] == name else ""
    except (OSError, ValueError, TypeError, KeyError):
        return ""


class PassiveAddress:
    """Of one worker. :attr:`address` is read on the loop and written by the lookup's thread."""

    def __init__(self, data_dir: Path, resolve: Callable[[str], list[str]] = lookup) -> None:
        self.address = ""  # "": not set, or not known
        self._data_dir, self._resolve = data_dir, resolve
        self._name = ""  # what is looked up; "": nothing
        self._due = 0.0
        self._thread: threading.Thread | None = None

    def follow(self, setting: str) -> None:
        """Tell what the setting says from now on. Of another name the old answer serves until the
        new one is there."""
        try:
            self._name, self.address = "", network.canonical(setting) if setting else ""
        except ValueError:
            if setting != self._name:
                self._name, self._due = setting, 0.0
                self.address = remembered(self._data_dir, setting) or self.address

    def wait(self) -> None:
        """For the first answer, for a while."""
        if self._thread is not None:
            self._thread.join(PATIENCE)

    def check(self, now: float, interval: float) -> None:
        """Look the name up where it is time to. Called about once a second."""
        if self._thread is not None and self._thread.is_alive():
            return
        if self._name and now >= self._due:
            self._due = now + interval
            self._thread = new_thread("passive-address", self._look_up, self._name)
            self._thread.start()

    def _look_up(self, name: str) -> None:
        try:
            answers = self._resolve(name)
        except (OSError, UnicodeError) as exc:
            logger.warning(
                "passive_address.lookup_failed", name=name, kept=self.address, error=str(exc)
            )
            return
        if name != self._name or not answers or self.address in answers:
            return  # of several addresses one is told as long as it is among them
        before, self.address = self.address, answers[0]
        logger.info("passive_address.changed", name=name, address=answers[0], before=before)
        self._remember(name)

    def _remember(self, name: str) -> None:
        temporary = self._data_dir / f"{_FILE}.{os.getpid()}"
        try:
            temporary.write_text(json.dumps({"name": name, "address": self.address}))
            temporary.replace(self._data_dir / _FILE)
        except OSError as exc:
            logger.warning("passive_address.not_remembered", error=str(exc))


def watched(data_dir: Path, setting: str, interval: float) -> PassiveAddress:
    """One that follows a setting, with its first answer if that comes in time."""
    address = PassiveAddress(data_dir)
    address.follow(setting)
    address.check(time.monotonic(), interval)
    address.wait()
    return address
