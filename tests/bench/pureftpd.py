"""A peer: Debian's pure-ftpd, one process per session, with a PureDB account over TLS."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from securedrop_ftp.project.demo.children import Child
from tests.bench.server import Server
from tests.fixtures.processes import accepts, free_port, wait_until

USERNAME, PASSWORD = "bench", "bench-and-a-long-test-password"
NOBODY = 65534
#: Below ours and the kernel's own. It leaves each of them in TIME_WAIT: with 2 000 it had none left
#: after a third of a second at 6 600 files a second.
PASSIVE = (2000, 9999)
DIGEST_PATIENCE = 120.0


def missing() -> str:
    """Why the peer cannot run here; empty if it can."""
    if os.geteuid() != 0:
        return "pure-ftpd needs root"
    if shutil.which("pure-ftpd", path=_PATH) is None:
        return "pure-ftpd is not installed (Debian: apt-get install pure-ftpd)"
    return ""


_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"


@contextmanager
def pure_ftpd(directory: Path, certificates: Path, *, digest: bool = False) -> Iterator[Server]:
    """A running server; with ``digest`` its upload script takes the SHA-256 of every file, as
    ours does of itself."""
    directory.mkdir()
    home = directory / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    pem = directory / "server.pem"
    pem.write_bytes(
        (certificates / "server.pem").read_bytes() + (certificates / "server.key").read_bytes()
    )
    pem.chmod(0o600)
    port = free_port()
    argv = ["pure-ftpd", "-4", "-S", f"127.0.0.1,{port}", "-p", "{}:{}".format(*PASSIVE), "-Y", "2"]
    argv += ["-2", str(pem), "-l", f"puredb:{_accounts(directory, home)}", "-A", "-E", "-H"]
    argv += ["-c", "500", "-C", "500", "-g", str(directory / "pid")]
    sums = directory / "sums"
    children = [_digests(directory, sums)] if digest else []
    children.append(_child("pure-ftpd", argv + (["-o"] if digest else []), directory))
    server_process = children[-1]
    try:
        wait_until(lambda: accepts(port), "pure-ftpd", server_process)
        yield Server(
            name="pure-ftpd with digest" if digest else "pure-ftpd",
            port=port,
            username=USERNAME,
            password=PASSWORD,
            files=home,
            pid=server_process.pid,
            owner=NOBODY,
            settle=_Digested(sums) if digest else lambda count: None,
        )
    finally:
        for child in reversed(children):
            child.stop(5)


def _child(name: str, argv: list[str], directory: Path) -> Child:
    return Child(name, argv, env=os.environ | {"PATH": _PATH}, output=directory, cwd=directory)


def _accounts(directory: Path, home: Path) -> Path:
    """One account. MD5-crypt, so that hashing does not count in logins, as with ours."""
    hashed = subprocess.run(
        ["openssl", "passwd", "-1", PASSWORD], capture_output=True, text=True, check=True
    ).stdout.strip()
    text, database = directory / "accounts", directory / "accounts.pdb"
    text.write_text(f"{USERNAME}:{hashed}:{NOBODY}:{NOBODY}::{home}/./::::::::::::\n")
    subprocess.run(["pure-pw", "mkdb", str(database), "-f", str(text)], check=True)
    return database


def _digests(directory: Path, sums: Path) -> Child:
    """Reads the server's pipe (a fixed path in /var/run) and runs the script for each file. It
    must be there first: the server's start waits for it."""
    script = directory / "digest"
    script.write_text(f'#!/bin/sh\nsha256sum "$1" >>{sums}\n')
    script.chmod(0o755)
    sums.touch()
    return _child("pure-uploadscript", ["pure-uploadscript", "-r", str(script)], directory)


class _Digested:
    """Waits until ``count`` more digests are written."""

    def __init__(self, sums: Path) -> None:
        self._sums, self._seen = sums, 0

    def __call__(self, count: int) -> None:
        deadline = time.monotonic() + DIGEST_PATIENCE
        while self._sums.read_bytes().count(b"\n") < self._seen + count:
            if time.monotonic() > deadline:
                raise RuntimeError("pure-uploadscript did not digest all files")
            time.sleep(0.01)
        self._seen += count
