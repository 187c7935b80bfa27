"""What each client is asked to do, and the proof, read in storage, that it was done."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from tests.clients import FtpsClient, reset_on_close
from tests.fixtures.cast import PARTNERS
from tests.fixtures.processes import wait_until
from tests.fixtures.served import ServedFtps
from tests.interop.client import CANNOT, Answer, Client, Where

KIB: Final = 1024
MIB: Final = 1024 * KIB
BIG: Final = 150_000_000

#: The service keeps whole parts of an interrupted upload.
PART: Final = 1 * MIB
HALF: Final = 5 * MIB


@dataclass(frozen=True, slots=True)
class Outcome:
    """One step. ``good`` is None where the client has no such function."""

    step: str
    good: bool | None
    said: str = ""


class Failed(Exception):
    """The step was not done; the message says what is known."""


@cache
def content(size: int) -> bytes:
    return random.Random(size).randbytes(size)


class Trial:
    """One client's steps with one account; each is a session of its own."""

    def __init__(self, client: Client, where: Where, *, big: int = BIG, uploads: int = 0) -> None:
        self.client = client
        self.where = where
        self.ftps: ServedFtps = where.ftps
        self.directory = f"/{where.home.name}"
        self.big, self.uploads = big, uploads
        with self.own_session() as session:
            session.mkd(self.directory)

    def version(self) -> str:
        return self.client.run(self.where, "version").output.strip()

    # --- the steps -------------------------------------------------------------------

    def steps(self) -> list[tuple[str, Callable[[], None]]]:
        sizes = [0, 1, 16 * KIB, MIB + 1, *([self.big] if self.big else [])]
        uploads = [(f"upload {size:_}".replace("_", " "), size) for size in sizes]
        return [
            *((step, lambda size=size: self.upload(size)) for step, size in uploads),
            ("five in a session", lambda: self.many("puts", 5)),
            ("thirty in a session", lambda: self.many("puts", 30)),
            *([(f"{self.uploads} uploads", self.long)] if self.uploads else []),
            ("list", self.listing),
            ("rename", self.rename),
            ("download", self.download),
            ("delete", self.delete),
            ("resume", self.resume),
            ("hash", self.digest),
            ("text in ASCII", self.ascii),
            ("four at once", self.four),
        ]

    def run(self, only: str = "") -> list[Outcome]:
        """All steps whose names have ``only`` in them."""
        return [self.outcome(*step) for step in self.steps() if only in step[0]]

    def outcome(self, step: str, act: Callable[[], None]) -> Outcome:
        try:
            act()
        except Cannot:
            return Outcome(step, None)
        except Failed as exc:
            return Outcome(step, False, str(exc))
        return Outcome(step, True)

    def upload(self, size: int) -> None:
        local = self.write(f"{size}.bin", size)
        remote = f"{self.directory}/{size}.bin"
        answer = self.ask("put", str(local), remote, timeout=60 + size / MIB)
        local.unlink()
        self.stored(remote, size, answer)
        self.remove(remote)

    def long(self) -> None:
        """``uploads`` files, a hundred in a session; small ones, whose end comes at once."""
        for number in range(-(-self.uploads // 100)):
            self.many("puts", 100, f"hundred-{number}", (0, 1, 100, 16 * KIB, 50_000))

    def many(
        self,
        verb: str,
        count: int,
        name: str = "",
        sizes: tuple[int, ...] = (0, 1, 16 * KIB, 200_000, MIB + 1),
    ) -> None:
        """``count`` files of a directory."""
        source = self.where.home / (name or f"{verb}-{count}")
        source.mkdir()
        files = {f"file-{n:02}.bin": sizes[n % len(sizes)] + n for n in range(count)}
        for name, size in files.items():
            self.write(f"{source.name}/{name}", size)
        remote = f"{self.directory}/{source.name}"
        with self.own_session() as session:
            session.mkd(remote)
        answer = self.ask(verb, str(source), remote, timeout=90 + count)
        for name, size in files.items():
            self.stored(f"{remote}/{name}", size, answer)
        self.succeeded(answer)

    def four(self) -> None:
        """In one program where it can, else in four."""
        try:
            self.many("four", 12)
        except Cannot:
            four = [self.write(f"four-{n}.bin", MIB + n) for n in range(4)]
            with ThreadPoolExecutor(4) as pool:
                answers = list(
                    pool.map(
                        lambda path: self.ask("put", str(path), f"{self.directory}/{path.name}"),
                        four,
                    )
                )
            for number, answer in enumerate(answers):
                self.stored(f"{self.directory}/four-{number}.bin", MIB + number, answer)

    def listing(self) -> None:
        names = [f"listed-{n:02}.txt" for n in range(12)]
        self.seed("listed", names)
        answer = self.succeeded(self.ask("list", f"{self.directory}/listed"))
        listed = {line.strip().rsplit("/", 1)[-1] for line in answer.output.splitlines()}
        if missing := set(names) - listed:
            raise Failed(f"{len(missing)} of 12 names are missing: {answer.reason}")

    def rename(self) -> None:
        self.seed("rename", ["old.txt"])
        old, new = f"{self.directory}/rename/old.txt", f"{self.directory}/rename/new.txt"
        answer = self.succeeded(self.ask("rename", old, new))
        self.stored(new, KIB, answer)

    def download(self) -> None:
        self.seed("download", ["file.bin"], size=MIB + 1)
        local = self.where.home / "downloaded.bin"
        answer = self.ask("get", f"{self.directory}/download/file.bin", str(local))
        if not local.exists() or local.read_bytes() != content(MIB + 1):
            raise Failed(answer.reason)
        self.succeeded(answer)

    def delete(self) -> None:
        self.seed("delete", ["file.txt"])
        answer = self.succeeded(self.ask("delete", f"{self.directory}/delete/file.txt"))
        if self.key(f"{self.directory}/delete/file.txt") in set(self.ftps.keys()):
            raise Failed(f"the file is still there: {answer.reason}")

    def resume(self) -> None:
        """An upload of ours was cut; the client goes on with it."""
        size = HALF + 3 * MIB + 5
        remote = f"{self.directory}/resumed.bin"
        local = self.write("resumed.bin", size)
        with self.own_session() as session:
            session.voidcmd("TYPE I")
            data = session.transfercmd(f"STOR {remote}")
            data.sendall(content(size)[:HALF])
            reset_on_close(data)
            data.close()
            session.final_reply()
        wait_until(lambda: self.row(remote)["state"] == "suspended", "the cut upload's end")
        answer = self.ask("resume", str(local), remote)
        self.stored(remote, size, answer)
        if not self.row(remote)["resumed_at"]:
            raise Failed("it sent the whole file anew")

    def ascii(self) -> None:
        """Under ``TYPE A`` a text arrives as it is here, for a partner made as partners are."""
        text = b"".join(b"line %d of a text\n" % number for number in range(500))
        local = self.where.home / "text.txt"
        local.write_bytes(text)
        answer = self.succeeded(self.ask("ascii", str(local), f"{self.directory}/text.txt"))
        if self.ftps.stored(self.key(f"{self.directory}/text.txt")) != text:
            raise Failed(f"OTHER BYTES ARE STORED: {answer.reason}")

    def digest(self) -> None:
        self.seed("hash", ["file.bin"], size=MIB + 1)
        answer = self.succeeded(self.ask("hash", f"{self.directory}/hash/file.bin"))
        if hashlib.sha256(content(MIB + 1)).hexdigest() not in answer.output.lower():
            raise Failed(f"another digest: {answer.reason}")

    # --- what they need --------------------------------------------------------------

    def ask(self, *arguments: str, timeout: float = 60) -> Answer:
        answer = self.client.run(self.where, *arguments, timeout=timeout + self.client.patience)
        if answer.code == CANNOT:
            raise Cannot
        return answer

    def succeeded(self, answer: Answer) -> Answer:
        if answer.code != 0:
            raise Failed(answer.reason)
        return answer

    def stored(self, remote: str, size: int, answer: Answer) -> None:
        """The object is whole, and the client said so; or neither."""
        key = self.key(remote)
        try:
            stored = self.ftps.stored(key)
        except KeyError:
            if answer.code == 0:
                raise Failed("it takes for sent what is not: " + answer.reason) from None
            raise Failed(answer.reason) from None
        if hashlib.sha256(stored).digest() != hashlib.sha256(content(size)).digest():
            raise Failed(f"OTHER BYTES ARE STORED ({len(stored)} of {size}): {answer.reason}")
        self.succeeded(answer)

    def key(self, remote: str) -> str:
        return f"{PARTNERS[self.where.username]}{remote}"

    def row(self, remote: str) -> dict[str, object]:
        """The newest ledger row of a name."""
        partner = PARTNERS[self.where.username]
        rows = [r for r in self.ftps.uploads() if r["path"] == remote]
        return [r for r in rows if r["key"] == f"{partner}{remote}"][-1]

    def write(self, name: str, size: int) -> Path:
        path = self.where.home / name
        path.write_bytes(content(size))
        return path

    def own_session(self) -> AbstractContextManager[FtpsClient]:
        return self.ftps.login(self.where.username)

    def seed(self, directory: str, names: list[str], size: int = KIB) -> None:
        """Files that are there before the client comes."""
        with self.own_session() as session:
            session.mkd(f"{self.directory}/{directory}")
            for name in names:
                session.upload(f"{self.directory}/{directory}/{name}", content(size))

    def remove(self, remote: str) -> None:
        with self.own_session() as session, suppress(Exception):
            session.delete(remote)


class Cannot(Exception):
    """The client has no such function."""
