"""How clients deliver under a temporary name and rename, each as :data:`Way`."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from collections.abc import Callable
from contextlib import suppress
from ftplib import Error
from functools import partial
from pathlib import Path
from typing import Final
from unittest import mock

from tests.clients import FtpsClient
from tests.fixtures.cast import password_of
from tests.fixtures.processes import ROOT
from tests.fixtures.served import ServedFtps
from tests.ftps.test_rclone import RCLONE

#: Delivers the files of a folder for an account. What the client said of each, by the file's name;
#: ``""``: it says that the file is sent.
Way = Callable[[ServedFtps, str, Path], dict[str, str]]


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- real clients ----------------------------------------------------------------------

_LFTP: Final = ("set cmd:fail-exit false", "set xfer:use-temp-file yes")


def lftp(ftps: ServedFtps, account: str, folder: Path) -> dict[str, str]:
    """``put`` stores ``.in.NAME`` and renames it."""
    puts = [f"put {folder / name} && echo sent {name}" for name in _names(folder)]
    done = ftps.lftp(*_LFTP, *puts, username=account)
    sent = done.stdout.split("\n")
    return {n: "" if f"sent {n}" in sent else _about(done.stderr, n) for n in _names(folder)}


def lftp_mirror(ftps: ServedFtps, account: str, folder: Path) -> dict[str, str]:
    """The same for a folder; without ``-p`` it sends SITE CHMOD and ends with an error."""
    done = ftps.lftp(*_LFTP, f"mirror -R -p {folder} .", username=account)
    said = {name: _about(done.stderr, name) for name in _names(folder)}
    assert (done.returncode != 0) == any(said.values()), done.stderr
    return said


def _about(said: str, name: str) -> str:
    return "\n".join(line for line in said.split("\n") if name in line and "failed" in line)


def rclone(ftps: ServedFtps, account: str, folder: Path, *more: str) -> dict[str, str]:
    """``NAME.<random>.partial``, SIZE of what was sent, and the rename; ``--inplace``: the name."""
    obscured = subprocess.run(
        [RCLONE, "obscure", password_of(account)], capture_output=True, text=True, check=True
    ).stdout.strip()
    remote = (
        f":ftp,host=127.0.0.1,port={ftps.port},user={account},pass={obscured},"
        "explicit_tls=true,no_check_certificate=true:"
    )
    done = subprocess.run(
        [RCLONE, "--config", "/dev/null", "-v", "--retries", "1", "copy", *more, folder, remote],
        capture_output=True,
        text=True,
    )
    said = {n: "" if f" {n}: Copied (" in done.stderr else done.stderr for n in _names(folder)}
    assert (done.returncode != 0) == any(said.values()), done.stderr
    return said


def filezilla(ftps: ServedFtps, account: str, folder: Path) -> dict[str, str]:
    """FileZilla has no temporary names of its own: it stores under the name, told to overwrite."""
    program = ROOT / "tests" / "interop" / "programs" / "filezilla" / "queue.py"
    given = {"HOST": ftps.host, "PORT": str(ftps.port), "USER": account}
    environment = {f"FTPS_{name}": value for name, value in given.items()}
    environment |= {"FTPS_PASSWORD": password_of(account), "SSL_CERT_FILE": str(ftps.ca)}
    with mock.patch.dict(os.environ, environment):
        spec = importlib.util.spec_from_file_location("filezilla_queue", program)
        assert spec is not None
        assert spec.loader is not None
        queue = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(queue)
        files = [(str(folder / name), f"/{name}") for name in _names(folder)]
        log = queue.filezilla(files, {"File exists action upload": "1"}, 0)
    parts = re.split(r"Starting upload of .*/", log)[1:]
    said = {part.split("\n", 1)[0].strip(): part for part in parts}
    return {
        name: "" if "File transfer successful" in said.get(name, "") else said.get(name, log)
        for name in _names(folder)
    }


# --- scripts ---------------------------------------------------------------------------


def script(
    ftps: ServedFtps, account: str, folder: Path, *, deletes: bool = False
) -> dict[str, str]:
    """STOR, RNFR, RNTO, as banks' scripts do; some delete the old file before, where they may."""
    with ftps.login(account) as client:
        return _each(client, folder, partial(_by_script, deletes=deletes))


def _by_script(client: FtpsClient, file: Path, *, deletes: bool) -> None:
    client.upload(f"{file.name}.tmp", file.read_bytes())
    if deletes:
        with suppress(Error):
            client.delete(file.name)
    client.rename(f"{file.name}.tmp", file.name)


def resuming(ftps: ServedFtps, account: str, folder: Path) -> dict[str, str]:
    """What WinSCP's manual has for servers whose readers take what they see: ``put`` under
    ``NAME.filepart``, then ``mv``. The line is lost on the way; WinSCP asks SIZE, goes on with
    REST and STOR, and compares size and time afterwards."""
    return _in_two_sessions(ftps, account, folder, partial(_begin, "filepart"), _go_on_by_rest)


def _begin(suffix: str, client: FtpsClient, file: Path) -> None:
    data = file.read_bytes()
    reply = client.truncated_upload(f"{file.name}.{suffix}", data[: len(data) * 3 // 4])
    if not reply.startswith("426"):
        raise Error(reply)


def _go_on_by_rest(client: FtpsClient, file: Path) -> None:
    data, temporary = file.read_bytes(), f"{file.name}.filepart"
    there = client.size(temporary)
    assert there is not None
    assert 0 < there < len(data)
    client.try_to_store(f"STOR {temporary}", data[there:], rest=there)
    assert client.size(temporary) == len(data)
    assert client.sendcmd(f"MDTM {temporary}").startswith("213")
    client.rename(temporary, file.name)
    assert client.size(file.name) == len(data)
    assert f"size={len(data)};" in client.sendcmd(f"MLST {file.name}").lower()


def appending(ftps: ServedFtps, account: str, folder: Path) -> dict[str, str]:
    """What FileZilla 3.63 sends, by its message log, to store, to go on (its offset is the listed
    size, or what SIZE says where it may not list) and to rename."""
    return _in_two_sessions(ftps, account, folder, partial(_begin, "part"), _go_on_by_append)


def _go_on_by_append(client: FtpsClient, file: Path) -> None:
    data, temporary = file.read_bytes(), f"{file.name}.part"
    client.cwd("/")
    client.pwd()
    there = size_as_filezilla_sees_it(client, temporary)
    assert there
    client.upload(temporary, data[there:], "APPE")
    client.rename(temporary, file.name)


def size_as_filezilla_sees_it(client: FtpsClient, name: str) -> int | None:
    """``None``: there is no such file."""
    try:
        listed = dict(client.mlsd())
    except Error:
        with suppress(Error):
            client.voidcmd("TYPE I")  # ftplib lists under TYPE A
            size = client.size(name)
            client.sendcmd(f"MDTM {name}")
            return size
        return None
    return int(listed[name]["size"]) if name in listed else None


Deliver = Callable[[FtpsClient, Path], None]


def _each(client: FtpsClient, folder: Path, deliver: Deliver) -> dict[str, str]:
    said = {}
    for name in _names(folder):
        said[name] = ""
        try:
            deliver(client, folder / name)
        except Error as exc:
            said[name] = str(exc)
    return said


def _in_two_sessions(
    ftps: ServedFtps, account: str, folder: Path, begin: Deliver, go_on: Deliver
) -> dict[str, str]:
    with ftps.login(account) as client:
        refused = {name: said for name, said in _each(client, folder, begin).items() if said}
    for name in refused:
        (folder / name).unlink()
    with ftps.login(account) as client:
        return _each(client, folder, go_on) | refused


WAYS: Final[dict[str, Way]] = {
    "lftp": lftp,
    "lftp mirror": lftp_mirror,
    "rclone": rclone,
    "rclone in place": lambda *where: rclone(*where, "--inplace"),
    "FileZilla": filezilla,
    "script": script,
    "script that deletes": partial(script, deletes=True),
    "resuming": resuming,
    "appending": appending,
}
