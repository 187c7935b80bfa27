"""The acts of :mod:`tests.names.model`, carried out by a real client over TLS."""

from __future__ import annotations

import ftplib
import hashlib
import socket
import ssl
from dataclasses import dataclass
from functools import lru_cache

from tests.clients import FtpsClient
from tests.names.model import (
    Act,
    Begin,
    Delete,
    End,
    Listed,
    Look,
    Lost,
    Make,
    Remove,
    RenameFrom,
    RenameTo,
)

#: Bytes of every stream; no upload is longer.
LONGEST = 512 * 1024
#: What a killed process or a lost line gives.
GONE = (OSError, EOFError, ssl.SSLError, ftplib.error_proto)


@lru_cache(maxsize=64)
def stream(by: str, path: str) -> bytes:
    """The endless stream of an account and a path, as far as it is needed."""
    return hashlib.shake_128(f"{by}:{path}".encode()).digest(LONGEST)


@lru_cache(maxsize=4096)
def sha256_of(of: tuple[str, str], length: int) -> str:
    return hashlib.sha256(stream(*of)[:length]).hexdigest()


@dataclass
class Session:
    """A client's session with a worker (its process id). ``folder``: where the sequence's names
    are."""

    number: int
    by: str
    client: FtpsClient
    worker: int
    folder: str = ""
    is_gone: bool = False
    why: str = ""
    _data: ssl.SSLSocket | None = None
    _rest: bytes = b""

    @property
    def is_sending(self) -> bool:
        return self._data is not None

    def do(self, act: Act) -> str | None:
        """What the client is told; ``None``: the control connection is gone."""
        try:
            return self._do(act)
        except GONE as exc:
            self.why = repr(exc)
            self.drop()
            return None

    def drop(self) -> None:
        """The control connection ends without a word, and the data connection with it."""
        self.is_gone = True
        if self._data is not None:
            self._data.close()
            self._data = None
        self.client.close()

    def _do(self, act: Act) -> str | None:
        match act:
            case Begin():
                return self._begin(act)
            case End():
                return self._end(act)
            case Look(verb="RETR"):
                return self._fetch(act.path)
            case Look():
                return self.client.reply_to(f"{act.verb} {self._path(act.path)}")
            case Listed():
                return self._list(act.path)
            case Delete():
                return self.client.reply_to(f"DELE {self._path(act.path)}")
            case RenameFrom():
                return self.client.reply_to(f"RNFR {self._path(act.path)}")
            case RenameTo():
                return self.client.reply_to(f"RNTO {self._path(act.path)}")
            case Make():
                return self.client.reply_to(f"MKD {self._path(act.path)}")
            case Remove():
                return self.client.reply_to(f"RMD {self._path(act.path)}")
            case Lost():
                self.drop()
                return None
        raise AssertionError(act)

    def _path(self, path: str) -> str:
        return f"{self.folder}/{path}" if path else self.folder

    def _begin(self, act: Begin) -> str:
        content = stream(act.by, act.path)[act.offset : act.length]
        try:
            data, _ = self.client.ntransfercmd(
                f"{act.verb} {self._path(act.path)}", act.offset or None
            )
        except ftplib.Error as refused:
            return str(refused)
        assert isinstance(data, ssl.SSLSocket)
        half = len(content) // 2
        self._data, self._rest = data, content[half:]
        data.sendall(content[:half])
        return "150"

    def _end(self, act: End) -> str | None:
        data = self._data
        assert data is not None
        if act.how == "lost":
            self.drop()
            return None
        self._data = None
        if act.how == "abor":
            self.client.putcmd("ABOR")
            told = self.client.final_reply()
            data.close()
            self.client.final_reply()
            return told
        try:
            if act.how == "clean":
                data.sendall(self._rest)
                data.unwrap()
        except (OSError, ssl.SSLError):
            pass  # it was taken over; the reply says so
        data.close()
        return self.client.final_reply()

    def _fetch(self, path: str) -> str:
        """226 and the digest of what came."""
        got = hashlib.sha256()
        try:
            told = self.client.retrbinary(f"RETR {self._path(path)}", got.update)
        except ftplib.Error as refused:
            return str(refused)
        return f"{told} {got.hexdigest()}"

    def _list(self, path: str) -> str:
        """226 and the names, with tabs between them."""
        lines: list[str] = []
        try:
            self.client.retrlines(f"MLSD {self._path(path)}", lines.append)
        except ftplib.Error as refused:
            return str(refused)
        finally:
            self.client.voidcmd("TYPE I")  # retrlines asked for TYPE A
        there = [line.partition(" ") for line in lines]
        return "226 " + "\t".join(
            name for facts, _, name in there if "dir;" not in facts or "type=dir" in facts.lower()
        )


def source_port(client: FtpsClient) -> int:
    sock = client.sock
    assert isinstance(sock, socket.socket)
    port: int = sock.getsockname()[1]
    return port
