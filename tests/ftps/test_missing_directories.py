"""A mistyped directory is told to the client, and clients that make directories go on working."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fixtures.cast import PARTNERS, password_of
from tests.fixtures.served import Serve, ServedFtps
from tests.ftps.test_rclone import RCLONE

STORAGES = ("filesystem", "s3", "memory")
#: Accounts of each mode that has MKD.
MODES = {"exchange": "alice", "dropbox": "erin", "drop": "carol"}


@pytest.mark.parametrize("storage", STORAGES)
def test_what_is_missing_is_named(standing: Serve, storage: str) -> None:
    ftps = standing("sqlite", storage)
    with ftps.login() as client:
        client.upload("known.txt", b"1")
        for line in ("STOR typo/a.txt", "APPE typo/a.txt", "RNTO typo/a.txt", "MKD typo/deep"):
            if line.startswith("RNTO"):
                client.reply_to("RNFR known.txt")
            else:
                client.makepasv()
            reply = client.reply_to(line)
            assert reply == "550 There is no directory /typo; make it first (MKD).", line
        assert "known.txt" in client.nlst()
        assert "typo" not in client.nlst()
        client.delete("known.txt")


def test_stou_in_a_directory_that_went_is_refused(standing: Serve) -> None:
    ftps = standing("sqlite", "filesystem")
    with ftps.login() as client:
        client.mkd("gone")
        client.cwd("gone")
        client.rmd("/gone")
        client.makepasv()
        assert client.reply_to("STOU").startswith("550 There is no directory /gone;")


def test_a_partner_of_before_has_them_made(served: Serve) -> None:
    ftps = served()
    ftps.manage("partner_set", "acme", "--create-directories", "on")
    with ftps.login() as client:
        client.upload("in/deep/a.txt", b"1")
        client.rename("in/deep/a.txt", "out/deep/a.txt")
        client.mkd("x/y/z")
    assert ftps.keys() == ["acme/out/deep/a.txt"]


Run = Callable[[ServedFtps, str, Path], "subprocess.CompletedProcess[str]"]


def _lftp(ftps: ServedFtps, username: str, source: Path) -> subprocess.CompletedProcess[str]:
    if username == "carol":  # mirror lists, which her mode does not allow
        put = f"put -O /by-lftp/one/two {source}/one/two/a.txt"
        return ftps.lftp("mkdir -p /by-lftp/one/two", put, username=username)
    return ftps.lftp(f"mirror -R {source} /by-lftp", username=username)


def _curl(ftps: ServedFtps, username: str, source: Path) -> subprocess.CompletedProcess[str]:
    file = source / "one" / "two" / "a.txt"
    return ftps.curl(
        "--ftp-create-dirs", "-T", str(file), path="/by-curl/one/two/", username=username
    )


def _rclone(ftps: ServedFtps, username: str, source: Path) -> subprocess.CompletedProcess[str]:
    obscured = subprocess.run(
        [RCLONE, "obscure", password_of(username)], capture_output=True, text=True, check=True
    ).stdout.strip()
    remote = (
        f":ftp,host=127.0.0.1,port={ftps.port},user={username},pass={obscured},"
        "explicit_tls=true,no_check_certificate=true:by-rclone"
    )
    if username != "alice":  # who may not read cannot be compared with
        file = source / "one" / "two" / "a.txt"
        command = ["copyto", "--inplace", "--no-check-dest", str(file), f"{remote}/one/two/a.txt"]
    else:
        command = ["copy", str(source), remote]
    return subprocess.run(
        [RCLONE, "--config", "/dev/null", *command, "--retries", "1"],
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("storage", ["filesystem", "s3"])
@pytest.mark.parametrize("run", [_lftp, _curl, _rclone], ids=["lftp", "curl", "rclone"])
def test_clients_make_the_directories_that_they_need(
    standing: Serve, tmp_path: Path, run: Run, storage: str, mode: str
) -> None:
    ftps, username = standing("sqlite", storage), MODES[mode]
    file = tmp_path / "one" / "two" / "a.txt"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"content")
    done = run(ftps, username, tmp_path)
    name = run.__name__.removeprefix("_")
    key = f"{PARTNERS[username]}/by-{name}/one/two/a.txt"
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert ftps.stored(key) == b"content"


def test_a_directory_of_an_object_store_outlives_its_files(standing: Serve) -> None:
    ftps = standing("sqlite", "s3")
    ftps.manage("partner_set", "acme", "--directory", "given/deep")
    with ftps.login() as client:
        assert client.nlst("given") == ["given/deep"]
        client.mkd("poll")
        client.upload("poll/a.csv", b"1")
        client.delete("poll/a.csv")
        client.cwd("/poll")
        assert client.nlst() == []
        client.cwd("/")
        facts = {name: f["type"] for name, f in client.mlsd() if name in ("poll", "given")}
        assert facts == {"poll": "dir", "given": "dir"}
        client.rename("poll", "renamed")
        client.cwd("/renamed")
        client.rmd("/renamed")
        assert client.reply_to("CWD /renamed").startswith("550")
