"""One client of the fault engine: uploads of random size that end well or badly, and what it was
told of each."""

from __future__ import annotations

import ftplib
import hashlib
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.clients import FtpsClient, reset_on_close, tls_context
from tests.fixtures.cast import PARTNERS, password_of

if TYPE_CHECKING:
    from tests.faults.engine import Engine

#: How an upload ends, and how often.
ENDS: Final = {
    "well": 50,
    "fin": 8,  # FIN without close_notify
    "rst": 8,
    "garbage": 8,  # a record that is none
    "abor": 8,
    "control": 6,  # the control channel is lost
    "killed": 6,  # both at once, as when a process dies
    "early": 4,  # lost right behind the last byte: the commit runs by itself
    "curl": 2,  # a real client, SIGKILL
}

NETWORK: Final = (OSError, EOFError)


@dataclass
class Fate:
    """What may be at a path, and how often somebody tried."""

    account: str
    allowed: set[str | None] = field(default_factory=lambda: {None})  # digests; None: nothing
    sent: int = 0
    answered: int = 0

    @property
    def prefix(self) -> str:
        return f"{PARTNERS[self.account]}"


class Sender(threading.Thread):
    """Takes upload after upload from the engine until it has none."""

    def __init__(self, engine: Engine, index: int) -> None:
        super().__init__(name=f"sender-{index}", daemon=True)
        self.engine = engine
        self.account = ("alice", "bob")[index % 2]
        self.fates = {f"/f{index}/{n}.bin": Fate(self.account) for n in range(3)}
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.longest = 0.0
        self._chance = random.Random(engine.seed * 1000 + index)
        self._client: FtpsClient | None = None
        self._context = tls_context(engine.ftps.ca)

    def run(self) -> None:
        while (number := self.engine.take()) is not None:
            try:
                self._upload(number)
            except Exception as exc:  # the engine fails for it
                self.wrong.append(f"the sender itself: {type(exc).__name__}: {exc}")
        self._hang_up()

    # --- one upload ----------------------------------------------------------------------

    def _upload(self, number: int) -> None:
        chance = self._chance
        path = chance.choice(list(self.fates))
        end = chance.choices(list(ENDS), list(ENDS.values()))[0]
        size = self._size()
        data = random.Random(number).randbytes(size)
        if end == "curl":
            whole, reply = self._by_curl(path, data)
        else:
            whole, reply = self._by_hand(path, data, end)
        self.counts[f"end {end}"] += 1
        self._judge(path, hashlib.sha256(data).hexdigest(), whole, reply, end)

    def _size(self) -> int:
        large = self.engine.part_size
        kind = self._chance.random()
        if kind < 0.05:
            return 0
        if kind > 1 - self.engine.share_of_large:
            return self._chance.randrange(large, 2 * large + large // 2)
        return self._chance.randrange(1, 40_000)

    def _by_hand(self, path: str, data: bytes, end: str) -> tuple[bool, str]:
        """(whether every byte and a clean end were sent, the final reply or "")."""
        while True:  # until STOR is sent: what fails before is no attempt
            client = self._session()
            try:
                client.voidcmd("TYPE I")
                address = client.makepasv()
                raw = socket.create_connection(address, timeout=self.engine.patience)
                client.putcmd(f"STOR {path}")
                break
            except (*NETWORK, ftplib.Error):
                self._hang_up()
        self.fates[path].sent += 1
        with raw:
            try:
                first = self._reply(client)
                if not first.startswith("150"):
                    return False, first
                control = client.sock
                channel = self._context.wrap_socket(
                    raw,
                    server_hostname="127.0.0.1",
                    session=control.session,  # type: ignore[union-attr]
                )
            except NETWORK:
                return False, self._reply(client)
            with channel:
                return self._send(client, channel, data, end)

    def _send(
        self, client: FtpsClient, channel: socket.socket, data: bytes, end: str
    ) -> tuple[bool, str]:
        bad = end not in ("well", "early")
        sent = data[: self._chance.randrange(len(data) + 1)] if bad else data
        try:
            channel.sendall(sent)
            if end == "garbage":
                with socket.socket(fileno=os.dup(channel.fileno())) as below:
                    below.settimeout(self.engine.patience)  # the descriptor does not block
                    below.sendall(b"\x17\x03\x03\x40\x00" + os.urandom(0x4000))
            elif end == "abor":
                client.putcmd("ABOR")
            elif end == "rst":
                reset_on_close(channel)
                channel.close()
            elif end in ("fin", "killed"):
                channel.close()
            elif not bad:
                self._close_notify(channel, wait=end == "well")
        except NETWORK:
            pass  # the server was quicker; its reply says why
        if end in ("control", "killed", "early"):
            self._hang_up()
            if end == "control":
                self._await_close(channel)
            return not bad, ""
        reply = self._reply(client)
        if end == "abor" and reply and not self._reply(client):
            self._hang_up()
        return not bad, reply

    def _close_notify(self, channel: socket.socket, *, wait: bool) -> None:
        channel.settimeout(self.engine.patience if wait else 0.05)
        with suppress(TimeoutError):
            channel.unwrap()  # type: ignore[attr-defined]

    def _by_curl(self, path: str, data: bytes) -> tuple[bool, str]:
        source: Path = self.engine.scratch / f"{self.name}.bin"
        source.write_bytes(data)
        ftps = self.engine.ftps
        self.fates[path].sent += 1
        client = subprocess.Popen(
            [
                "curl", "-s", "-S", "--ssl-reqd", "--cacert", str(ftps.ca), "--ftp-create-dirs",
                "--limit-rate", "200k", "-u", f"{self.account}:{password_of(self.account)}",
                "-T", str(source), f"ftp://127.0.0.1:{ftps.port}{path}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            code = client.wait(self._chance.uniform(0.05, 0.6))
        except subprocess.TimeoutExpired:
            client.send_signal(signal.SIGKILL)
            client.wait()
            code = -9
        # curl alone knows how far it came: where it failed, the attempt may have begun or not.
        return True, "226 by curl" if code == 0 else ""

    # --- what it was told, against what is there -------------------------------------------

    def _judge(self, path: str, digest: str, whole: bool, reply: str, end: str) -> None:
        fate = self.fates[path]
        fate.answered += bool(reply)
        what = f"{path} ({end}, “{reply}”)"
        if reply.startswith("226"):
            self.counts["acknowledged"] += 1
            if not whole:
                self.wrong.append(f"false acknowledgement of a truncated upload: {what}")
            before, fate.allowed = fate.allowed, {digest}
            found = self.engine.digest_at(fate, path)
            if found != digest:
                kind = "an older file" if found in before else "another file"
                there = kind if found else "nothing"
                self.wrong.append(f"false acknowledgement: {what}; there is {there}: {found}")
            return
        pending = "pending" in reply
        if whole and (pending or not reply):
            fate.allowed.add(digest)
        self.counts["pending" if pending else "refused" if reply else "unanswered"] += 1
        if reply:
            self.counts[f"reply {reply[:3]}"] += 1
            if self.engine.digest_at(fate, path) not in fate.allowed:
                self.wrong.append(f"changed object: {what}")

    # --- the session ------------------------------------------------------------------------

    def _session(self) -> FtpsClient:
        deadline = time.monotonic() + 120
        while self._client is None:
            client = FtpsClient(context=self._context, timeout=self.engine.patience)
            try:
                client.connect("127.0.0.1", self.engine.ftps.port)
                client.login(self.account, password_of(self.account))
                client.prot_p()
                folder = next(iter(self.fates)).rpartition("/")[0]
                client.reply_to(f"MKD {folder}")
                self._client = client
            except (*NETWORK, ftplib.Error) as exc:
                client.close()
                if time.monotonic() > deadline:
                    raise RuntimeError(f"no session for two minutes: {exc}") from exc
                time.sleep(0.1)
        return self._client

    def _reply(self, client: FtpsClient) -> str:
        """The next reply; "" where the channel ended. Neither in time: a hang."""
        since = time.monotonic()
        try:
            reply = client.final_reply()
        except TimeoutError:
            self.wrong.append("hang: no reply and no close")
            reply = ""
        except NETWORK:
            reply = ""
        self.longest = max(self.longest, time.monotonic() - since)
        if not reply or reply.startswith("421"):
            self._hang_up()
        return "" if reply.startswith("421") else reply

    def _await_close(self, channel: socket.socket) -> None:
        since = time.monotonic()
        channel.settimeout(self.engine.patience)
        try:
            while channel.recv(4096):
                pass
        except TimeoutError:
            self.wrong.append("hang: the data channel outlives its session")
        except OSError:
            pass
        self.longest = max(self.longest, time.monotonic() - since)

    def _hang_up(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
