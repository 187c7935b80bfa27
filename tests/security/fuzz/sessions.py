"""Hostile sessions over real sockets: in the clear, under TLS, logged in.

Nobody waits for a reply to go on: lines are pipelined while replies are drained, and every data
connection that is offered is taken, abused and left.
"""

from __future__ import annotations

import random
import re
import select
import socket
import ssl
import threading
from collections import Counter
from contextlib import suppress
from typing import Final

from tests.clients import reset_on_close, tls_context
from tests.fixtures.cast import CAST, password_of
from tests.fixtures.served import ServedFtps
from tests.security.fuzz.grammar import burst, client_hello, mutated

#: How long the service may be silent and take nothing, seconds. Longer than the login timeout (60 s
#: without what our own commands took): a QUIT that came behind a wrong password is dropped with it
#: (row 5), and that session ends by the timeout.
PATIENCE: Final = 150.0
USERS: Final = tuple(username for _, username in CAST.values())
KINDS: Final = {"in": 70, "tls": 12, "clear": 10}
_REPLY: Final = re.compile(rb"^[1-5][0-9][0-9] ", re.MULTILINE)
_EPSV: Final = re.compile(rb"229 [^\r\n]*\(\|\|\|(\d+)\|\)")
_PASV: Final = re.compile(rb"227 [^\r\n]*\((?:\d+,){4}(\d+),(\d+)\)")


class Fuzzer(threading.Thread):
    """Session after session until :attr:`answered` reaches its share of commands."""

    def __init__(self, ftps: ServedFtps, seed: int, commands: int) -> None:
        super().__init__(daemon=True)
        self.answered = 0
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._ftps, self._commands = ftps, commands
        self._chance = random.Random(seed)
        self._context = tls_context(ftps.ca)
        self._hello = client_hello()

    def run(self) -> None:
        while self.answered < self._commands and not self.wrong:
            kind = self._chance.choices(list(KINDS), list(KINDS.values()))[0]
            self.counts[kind] += 1
            try:
                with socket.create_connection(("127.0.0.1", self._ftps.port), 30) as sock:
                    sock.settimeout(PATIENCE)
                    getattr(self, f"_{kind}")(sock)
            except TimeoutError:
                self.wrong.append(f"a {kind} session was neither served nor ended")
            except (OSError, ssl.SSLError):
                self.counts["cut short"] += 1  # the service's right, and its habit
            except Exception as exc:
                self.wrong.append(f"a {kind} session: {exc!r}")

    # --- kinds of session -----------------------------------------------------------------

    def _clear(self, sock: socket.socket) -> None:
        """Before TLS, AUTH in the middle of it."""
        Conversation(self, sock).talk(self._lines(20))

    def _tls(self, sock: socket.socket) -> None:
        """Under TLS, before the login."""
        Conversation(self, self._secured(sock)).talk(self._lines(30))

    def _in(self, sock: socket.socket) -> None:
        """Logged in."""
        control = self._secured(sock)
        username = self._chance.choice(USERS)
        control.sendall(f"USER {username}\r\nPASS {password_of(username)}\r\n".encode())
        _await(control, b"230")
        control.sendall(b"PBSZ 0\r\nPROT P\r\n")
        conversation = Conversation(self, control)
        room = min(3000, max(1, self._commands - self.answered))
        conversation.talk(self._lines(self._chance.randrange(1, room + 1)))

    def _secured(self, sock: socket.socket) -> ssl.SSLSocket:
        sock.sendall(b"AUTH TLS\r\n")
        _await(sock, b"234")
        return self._context.wrap_socket(sock, server_hostname="localhost")

    def _lines(self, count: int) -> list[bytes]:
        return burst(self._chance, count)

    # --- data connections -----------------------------------------------------------------

    def abuse(self, port: int, control: socket.socket) -> None:
        """Take an offered data connection and leave it badly."""
        chance = self._chance
        act = chance.randrange(7)
        if act == 0:
            return  # never comes
        self.counts["data connections"] += 1
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as data:
            data.settimeout(2)
            if act == 1:
                reset_on_close(data)
            elif act == 2:
                data.sendall(chance.randbytes(200))
            elif act == 3:
                data.sendall(mutated(chance, self._hello))
            elif act > 4 and isinstance(control, ssl.SSLSocket):
                session = control.session if act == 5 else None
                with self._context.wrap_socket(
                    data,
                    server_hostname="localhost",
                    session=session,
                    do_handshake_on_connect=False,
                ) as channel:
                    channel.settimeout(0.2)
                    channel.do_handshake()
                    channel.sendall(chance.randbytes(1000))
                    if chance.random() < 0.5:
                        channel.unwrap()


class Conversation:
    """Writes pieces while it reads replies, so that neither side's buffers fill."""

    def __init__(self, fuzzer: Fuzzer, sock: socket.socket) -> None:
        self._fuzzer, self._sock = fuzzer, sock
        self._tail = b""
        self._over = False

    def talk(self, pieces: list[bytes]) -> None:
        """Everything, then QUIT, then to the end."""
        with self._sock:
            self._sock.settimeout(0)
            for piece in [*pieces, b"\r\nQUIT\r\n"]:
                self._write(piece)
            while not self._over:
                self._wait(select.POLLIN)
                self._drain()

    def _write(self, piece: bytes) -> None:
        while piece and not self._over:
            try:
                piece = piece[self._sock.send(piece) :]
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                self._wait(select.POLLIN | select.POLLOUT)
            self._drain()

    def _drain(self) -> None:
        while True:
            try:
                data = self._sock.recv(65536)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            if not data:
                self._over = True
                return
            self._fuzzer.answered += len(_REPLY.findall(data))
            self._offers(self._tail + data)

    def _offers(self, text: bytes) -> None:
        done = 0
        for match in _EPSV.finditer(text):
            self._fuzzer.abuse(int(match[1]), self._sock)
            done = match.end()
        for match in _PASV.finditer(text):
            self._fuzzer.abuse(int(match[1]) * 256 + int(match[2]), self._sock)
            done = max(done, match.end())
        self._tail = text[max(done, text.rfind(b"\n") + 1) :]

    def _wait(self, events: int) -> None:
        if isinstance(self._sock, ssl.SSLSocket) and self._sock.pending():
            return
        poll = select.poll()
        poll.register(self._sock, events)
        if not poll.poll(PATIENCE * 1000):
            raise TimeoutError


def _await(sock: socket.socket, code: bytes) -> None:
    """Read up to the end of the reply with ``code``."""
    text = b""
    while not (text.endswith(b"\r\n") and (b"\n" + text).rfind(b"\n" + code) >= 0):
        data = sock.recv(4096)
        if not data:
            raise ConnectionResetError
        text += data
