"""What passes between the master and a generation: messages, and descriptors that are handed on.

A *generation* is one supervisor with its workers, of the code and settings that were on disk when
it began. The master (:mod:`securedrop_ftp.server.master`) knows nothing of either: it keeps
descriptors by name (listeners, shared memory) and gives them to each new generation, which takes
those that it has a use for and makes the others anew. A name says all that two generations must
agree on, its layout above all; what has another name is not shared.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

#: Generations that may live at once: one serves, one may be starting, the others end their
#: transfers. Each has a bank of places in the shared table of connections.
GENERATIONS: Final = 4

#: Of a message, bytes; and descriptors that one may carry (SCM_MAX_FD is 253).
_LONGEST: Final = 64 * 1024
_MOST: Final = 64


@dataclass(frozen=True, slots=True)
class Message:
    """``kind`` and what belongs to it."""

    kind: str
    values: dict[str, Any]
    descriptors: dict[str, int]


class Link:
    """One end of the master's connection to a generation. Its messages are whole or not at all
    (SOCK_SEQPACKET, unix(7))."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    @classmethod
    def pair(cls) -> tuple[Link, Link]:
        """Make a connection; both of its ends."""
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(one), cls(other)

    @classmethod
    def inherited(cls, number: int) -> Link:
        """The end that the master left open at ``number``. Raises OSError where there is none."""
        sock = socket.socket(fileno=number)
        sock.set_inheritable(False)
        return cls(sock)

    def fileno(self) -> int:
        """To poll for, and to hand to a generation."""
        return self._socket.fileno()

    def send(
        self, kind: str, descriptors: Mapping[str, int] | None = None, **values: object
    ) -> bool:
        """Say something; ``False`` where the other end is gone."""
        given = dict(descriptors or {})
        text = json.dumps({"kind": kind, "names": list(given), **values}).encode()
        try:
            socket.send_fds(self._socket, [text], list(given.values()))
        except OSError:
            return False
        return True

    def receive(self) -> Message | None:
        """Wait for the next message; ``None``: the other end is gone."""
        try:
            text, numbers, _, _ = socket.recv_fds(
                self._socket, _LONGEST, _MOST, socket.MSG_CMSG_CLOEXEC
            )
        except OSError:
            return None
        if not text:
            return None
        values = json.loads(text)
        kind, names = values.pop("kind"), values.pop("names")
        return Message(kind, values, dict(zip(names, numbers, strict=True)))

    def close(self) -> None:
        """Close this end of the connection."""
        self._socket.close()


@dataclass(slots=True)
class Inheritance:
    """What a generation has from the one before it, and leaves to the next.

    Attributes:
        found: descriptors by name that nobody has taken yet.
        kept: those that this generation uses.
    """

    found: dict[str, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)

    def take(self, name: str, make: Callable[[], int]) -> int:
        """The descriptor of that name, made where it was not inherited."""
        number = self.found.pop(name) if name in self.found else make()
        self.kept[name] = number
        return number

    def memory(self, name: str, size: int) -> int:
        """Shared memory of ``size`` bytes, all zeros where it is new. ``name`` is that of its
        layout: who changes what the bytes mean changes the name."""

        def make() -> int:
            number = os.memfd_create(f"securedrop-{name}", os.MFD_CLOEXEC)
            os.ftruncate(number, size)
            return number

        return self.take(f"memory/{name}/{size}", make)

    def close_rest(self) -> None:
        """Nobody here wants what is left."""
        while self.found:
            os.close(self.found.popitem()[1])


@dataclass(frozen=True, slots=True)
class Generation:
    """What the master tells a generation of itself.

    Attributes:
        number: 1 for the first of a master, and so on.
        bank: which of the :data:`GENERATIONS` places it has in shared tables.
        master: the process that signals are sent to.
        spawned: when it was begun (:func:`time.monotonic`, which all processes share).
        beside: boots of this master that live.
    """

    number: int
    bank: int
    master: int
    spawned: float
    beside: tuple[str, ...]

    @classmethod
    def introduced(cls, link: Link) -> tuple[Generation, Inheritance]:
        """Wait for the master's first message. Raises ConnectionError where it is gone."""
        message = link.receive()
        if message is None or message.kind != "begin":
            raise ConnectionError("the master is gone")
        values = message.values
        return (
            cls(
                values["number"],
                values["bank"],
                values["master"],
                values["spawned"],
                tuple(values["beside"]),
            ),
            Inheritance(message.descriptors),
        )
