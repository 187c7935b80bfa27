"""A TCP proxy that breaks connections on purpose, between the service and what it leans on.

Plain, it stands before PostgreSQL; with ``tls`` it ends TLS on both sides and stands before an S3
server, where it can also answer 503 by itself and flip a byte *inside* TLS, as a faulty middle box
does. Faults come one by one (:meth:`FaultProxy.arm`) or at random, by a seed, at every request
(before PostgreSQL: at every chunk) that passes (:attr:`FaultProxy.rate`); what was done is counted
in :attr:`FaultProxy.done`.
"""

from __future__ import annotations

import random
import re
import select
import socket
import ssl
import threading
import time
from collections import Counter, deque
from contextlib import suppress
from typing import Final

from tests.clients import reset_on_close
from tests.fixtures.processes import free_port

#: Before a chunk of the service's reaches the other side …
REQUEST_FAULTS: Final = ("cut", "reset", "delay", "drop")
#: … or when the other side's answer to it comes: what was asked has been done.
REPLY_FAULTS: Final = ("cut-reply", "reset-reply", "delay-reply")
#: Only where the proxy ends TLS.
HTTP_FAULTS: Final = ("503", "corrupt")

_BUSY: Final = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: 71\r\n"
    b"Connection: close\r\n\r\n"
    b"<Error><Code>SlowDown</Code><Message>Reduce your rate.</Message></Error>"
)
_METHODS: Final = (b"PUT ", b"POST", b"GET ", b"HEAD", b"DELE")


class _Broken(Exception):
    """A fault ends this connection."""


class FaultProxy:
    """Listens on :attr:`port` until :meth:`close`; every connection goes to ``target``.

    Args:
        target: a port of 127.0.0.1.
        seed: of the random faults.
        faults: which of them may come at random.
        tls: (context towards the service, context towards the target).
        delay: seconds that ``delay`` takes.
        silence: seconds after which a dropped connection is closed.
        corrupt_from: bytes; shorter bodies are left whole.
    """

    def __init__(
        self,
        target: int,
        *,
        seed: int = 0,
        faults: tuple[str, ...] = REQUEST_FAULTS + REPLY_FAULTS,
        tls: tuple[ssl.SSLContext, ssl.SSLContext] | None = None,
        delay: float = 0.5,
        silence: float = 30.0,
        corrupt_from: int = 1,
    ) -> None:
        self.rate = 0.0
        self.done: Counter[str] = Counter()
        self.port = free_port()
        self._target, self._faults, self._tls = target, faults, tls
        self._delay, self._silence, self._corrupt_from = delay, silence, corrupt_from
        self._chance = random.Random(seed)
        self._armed: deque[str] = deque()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=256)
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, *faults: str) -> None:
        """The next chunks meet these faults, one each."""
        self._armed.extend(faults)

    def close(self) -> None:
        """Take no more connections; those that live end."""
        self._closed.set()
        self._listener.close()

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- connections --------------------------------------------------------------------

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        near: socket.socket = sock
        far: socket.socket | None = None
        try:
            near.settimeout(self._silence)
            if self._tls is not None:
                near = self._tls[0].wrap_socket(near, server_side=True)
            far = socket.create_connection(("127.0.0.1", self._target), timeout=self._silence)
            if self._tls is not None:
                far = self._tls[1].wrap_socket(far, server_hostname="127.0.0.1")
            self._pass(near, far)
        except (OSError, _Broken):
            pass
        finally:
            near.close()
            if far is not None:
                far.close()

    def _pass(self, near: socket.socket, far: socket.socket) -> None:
        """Both directions, in this thread: TLS sockets are not for two."""
        pending = ""  # a fault of the reply to what went last
        flip = False  # a bit of the body that comes
        last = time.monotonic()
        while not self._closed.is_set():
            source = self._next(near, far)
            if source is None:
                if time.monotonic() - last > self._silence * 4:
                    return
                continue
            data = self._receive(source)
            if data is None:
                continue
            if not data:
                return
            last = time.monotonic()
            if source is near:
                fault = self._draw(data)
                if fault in REPLY_FAULTS:
                    pending = fault
                elif fault == "corrupt":
                    flip = self._has_body(data)
                elif fault:
                    data = self._break(fault, near, data)
                if flip:
                    data, flip = self._flip(data)
                far.sendall(data)
            else:
                if pending:
                    fault, pending = pending, ""
                    self._break(fault.removesuffix("-reply"), near, data, fault)
                near.sendall(data)

    def _receive(self, source: socket.socket) -> bytes | None:
        """``None`` where it was readable and is not: half a record, a session ticket."""
        source.settimeout(0)
        try:
            return source.recv(65536)
        except (BlockingIOError, ssl.SSLWantReadError):
            return None
        finally:
            source.settimeout(self._silence)

    def _next(self, near: socket.socket, far: socket.socket) -> socket.socket | None:
        for sock in (near, far):
            if isinstance(sock, ssl.SSLSocket) and sock.pending():
                return sock
        poll = select.poll()  # select() ends at descriptor 1023
        for sock in (near, far):
            poll.register(sock, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(500)}
        return next((sock for sock in (near, far) if sock.fileno() in ready), None)

    # --- faults -------------------------------------------------------------------------

    def _draw(self, data: bytes) -> str:
        if self._tls is not None and not data.startswith(_METHODS):
            return ""  # one throw of the dice for a request, not for each of its chunks
        with self._lock:
            if self._armed:
                return self._armed.popleft()
            if self.rate and self._chance.random() < self.rate:
                return self._chance.choice(self._faults)
        return ""

    def _break(self, fault: str, near: socket.socket, data: bytes, name: str = "") -> bytes:
        """Do it; what is to be passed on, or :class:`_Broken`."""
        self.done[name or fault] += 1
        if fault == "delay":
            self._closed.wait(self._delay)
            return data
        if fault == "drop":  # silence: taken, and never answered
            self._closed.wait(self._silence)
        elif fault == "reset":
            reset_on_close(near)
        elif fault == "503":
            with suppress(OSError):
                near.sendall(_BUSY)
                near.shutdown(socket.SHUT_WR)
                near.settimeout(1)
                while near.recv(65536):  # an unread rest would turn our close into RST
                    pass
        raise _Broken

    def _has_body(self, head: bytes) -> bool:
        length = re.search(rb"\r\ncontent-length: *(\d+)\r\n", head, re.IGNORECASE)
        return length is not None and int(length[1]) >= self._corrupt_from

    def _flip(self, data: bytes) -> tuple[bytes, bool]:
        """Flip one bit of a body; (what is passed on, whether the body is still to come)."""
        start = data.find(b"\r\n\r\n") + 4 if data.startswith(_METHODS) else 0
        if start >= len(data):  # "Expect: 100-continue"
            return data, True
        self.done["corrupt"] += 1
        at = self._chance.randrange(start, len(data))
        return data[:at] + bytes([data[at] ^ 0x20]) + data[at + 1 :], False
