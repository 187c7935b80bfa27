"""Broken TLS on the control channel and on data channels: instead of a handshake, in its midst and
behind it. No upload with a bad record in it may ever be acknowledged."""

from __future__ import annotations

import random
import re
import socket
import threading
from collections import Counter
from contextlib import suppress
from typing import Final

from OpenSSL import SSL

from tests.clients import reset_on_close
from tests.fixtures.cast import password_of
from tests.fixtures.served import ServedFtps
from tests.security.fuzz import records
from tests.security.fuzz.grammar import client_hello
from tests.security.fuzz.records import RecordClient

PATIENCE: Final = 60.0
ROUNDS: Final = 30  # data connections of one login
_PORT: Final = re.compile(rb"\|\|\|(\d+)\|")


class RecordFuzzer(threading.Thread):
    """Connection after connection until :attr:`sent` reaches its share of malformed records."""

    def __init__(self, ftps: ServedFtps, seed: int, share: int) -> None:
        super().__init__(daemon=True)
        self.sent = 0
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._ftps, self._share = ftps, share
        self._chance = random.Random(seed)
        self._hello = client_hello()

    def run(self) -> None:
        while self.sent < self._share and not self.wrong:
            session = self._chance.choices((self._control, self._data), (20, 1))[0]
            try:
                with socket.create_connection(("127.0.0.1", self._ftps.port), 30) as sock:
                    sock.settimeout(PATIENCE)
                    session(sock)
            except TimeoutError:
                self.wrong.append(f"{session.__name__}: neither served nor ended")
            except (OSError, SSL.Error):
                self.counts["record sessions cut short"] += 1
            except Exception as exc:
                self.wrong.append(f"{session.__name__}: {exc!r}")

    def _count(self, channel: str, where: str, number: int = 1) -> None:
        self.sent += number
        self.counts[f"{channel}, {where}"] += number

    # --- the control channel --------------------------------------------------------------

    def _control(self, sock: socket.socket) -> None:
        sock.sendall(b"AUTH TLS\r\n")
        while b"234 " not in sock.recv(4096):
            pass
        self._break("control", sock, None)

    # --- data channels --------------------------------------------------------------------

    def _data(self, sock: socket.socket) -> None:
        """Many rounds of one login: EPSV, a transfer, a broken data channel, its reply."""
        username = self._chance.choice(("alice", "bob"))
        sock.sendall(b"AUTH TLS\r\n")
        while b"234 " not in sock.recv(4096):
            pass
        control = RecordClient(sock)
        control.shake()
        for line in (f"USER {username}", f"PASS {password_of(username)}", "PBSZ 0", "PROT P"):
            control.say(line.encode())
            if control.reply()[:1] not in b"23":
                return  # too many sessions of that partner
        for _ in range(ROUNDS):
            if self.sent < self._share:
                self._round(control)
        control.say(b"QUIT")
        control.reply()

    def _round(self, control: RecordClient) -> None:
        control.say(b"EPSV")
        offered = _PORT.search(control.reply())
        if offered is None:
            return  # 425: too many wait
        verb = self._chance.choice(
            (b"STOR never.bin", b"STOR never.bin", b"RETR there.bin", b"LIST")
        )
        control.say(verb)
        with (
            suppress(OSError, SSL.Error),
            socket.create_connection(("127.0.0.1", int(offered[1])), 10) as data,
        ):
            data.settimeout(10)
            self._break("data", data, control)
        reply = control.reply()
        if reply.startswith(b"150"):
            reply = control.reply()
        if reply[:1] not in b"245" or (verb.startswith(b"STOR") and reply[:1] == b"2"):
            self.wrong.append(f"{verb!r} over broken TLS was answered {reply!r}")

    # --- what is broken -------------------------------------------------------------------

    def _break(self, channel: str, sock: socket.socket, resumed: RecordClient | None) -> None:
        ways = (self._instead, self._within, self._behind, self._again)
        weights = (4, 4, 6, 1) if channel == "control" else (2, 2, 12, 1)
        way = self._chance.choices(ways, weights)[0]
        way(channel, sock, resumed)
        if self._chance.random() < 0.3:
            reset_on_close(sock)
            return
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass

    def _instead(self, channel: str, sock: socket.socket, _resumed: RecordClient | None) -> None:
        """No handshake at all."""
        for _ in range(self._chance.randrange(1, 4)):
            make = self._chance.randrange(4)
            if make == 0:
                sent = records.junk(self._chance)
            elif make == 1:
                sent = records.alert(self._chance)
            else:
                sent = records.spoiled(self._chance, self._hello)
            sock.sendall(sent)
            self._count(channel, "instead of a handshake")

    def _within(self, channel: str, sock: socket.socket, resumed: RecordClient | None) -> None:
        """A flight of the handshake is wrong; or it ends early."""
        with RecordClient(sock, resumed) as client:
            client.shake(self._chance, spoil=self._chance.randrange(2))
        self._count(channel, "within the handshake")

    def _behind(self, channel: str, sock: socket.socket, resumed: RecordClient | None) -> None:
        """Good records, a bad one, good ones; close_notify at the end, as if all were well."""
        with RecordClient(sock, resumed) as client:
            client.shake()
            size = self._chance.choice((6, 6, 500, 16384))
            text = (
                b"NOOP\r\n" * (size // 6) if channel == "control" else self._chance.randbytes(size)
            )
            parts = [client.sealed(text)[0] for _ in range(self._chance.randrange(1, 4))]
            at = self._chance.randrange(len(parts))
            parts[at] = records.spoiled(self._chance, parts[at])
            client.tls.shutdown()
            client.send([*parts, *client.outgoing()])
        self._count(channel, "behind the handshake")

    def _again(self, channel: str, sock: socket.socket, resumed: RecordClient | None) -> None:
        """A second ClientHello inside the session (row 24: refused), whole or not."""
        with RecordClient(sock, resumed) as client:
            client.shake()
            client.tls.renegotiate()
            with suppress(SSL.WantReadError):
                client.tls.do_handshake()
            (hello,) = client.outgoing()
            client.send(
                [hello if self._chance.random() < 0.5 else records.spoiled(self._chance, hello)]
            )
        self._count(channel, "renegotiation")
