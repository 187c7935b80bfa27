"""Files there and back with real clients, on every database and storage that CI has."""

from __future__ import annotations

import ftplib
import hashlib
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.fixtures.cast import password_of
from tests.fixtures.served import Serve, ServedFtps

MIB = 1024 * 1024

PAIRS = [("sqlite", "filesystem"), ("postgres", "filesystem"), ("sqlite", "s3"), ("postgres", "s3")]


@pytest.fixture(params=PAIRS, ids="-".join)
def anywhere(request: pytest.FixtureRequest, standing: Serve) -> ServedFtps:
    return standing(*request.param)


ODD_NAMES = [
    "with space.txt",
    " leading and trailing ",
    "quote'and\"double.txt",
    "hash#question?percent%amp&.txt",
    "ümläut-日本語-🎈.txt",
    "semi;colon,comma=.txt",
    "-starts-with-dash",
    "..three",
    "star*[glob]{a,b}",
    "plus+and~tilde^.txt",
    "%2e%2e%2fencoded",
    "a" * 200,
]


def test_an_upload_is_stored_digested_in_the_ledger_and_in_the_audit(anywhere: ServedFtps) -> None:
    data = os.urandom(3 * MIB + 17)
    digest = hashlib.sha256(data).hexdigest()
    with anywhere.login() as client:
        reply = client.upload("report.bin", data)
    assert re.fullmatch(rf"226 .*{len(data)} bytes.*{digest}.*", reply)
    assert anywhere.stored("acme/report.bin") == data
    row = [r for r in anywhere.uploads() if r["path"] == "/report.bin"][-1]
    assert (row["state"], row["size"], row["sha256"]) == ("committed", len(data), digest)
    event = anywhere.audit("upload.committed")[-1]
    assert (event["size"], event["sha256"], event["outcome"]) == (len(data), digest, "success")
    assert event["reply"] == reply


@pytest.mark.parametrize("size", [0, 1, 16383, 16384, 16385, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1])
def test_no_byte_is_lost_at_any_size(anywhere: ServedFtps, size: int) -> None:
    data = os.urandom(size)
    with anywhere.login() as client:
        assert client.upload(f"size-{size}.bin", data).startswith("226")
        assert client.size(f"size-{size}.bin") == size
        assert client.download(f"size-{size}.bin") == data


def test_a_large_file_goes_through_curl_whole(anywhere: ServedFtps, tmp_path: Path) -> None:
    source, back = tmp_path / "large.bin", tmp_path / "back.bin"
    source.write_bytes(os.urandom(MIB) * 40)
    assert anywhere.curl("-T", str(source), path="/in/large.bin", username="alice").returncode == 9
    done = anywhere.curl("-T", str(source), "--ftp-create-dirs", path="/in/large.bin")
    assert done.returncode == 0, done.stderr
    assert anywhere.curl("-o", str(back), path="/in/large.bin").returncode == 0
    assert back.read_bytes() == source.read_bytes()


def test_five_curl_transfers_in_one_session(anywhere: ServedFtps, tmp_path: Path) -> None:
    names = [f"curl-{i}.bin" for i in range(5)]
    for name in names:
        (tmp_path / name).write_bytes(os.urandom(300_000))
    before = len(anywhere.audit("login.succeeded"))
    done = anywhere.curl("-T", f"{tmp_path}/curl-[0-4].bin", path="/")
    assert done.returncode == 0, done.stderr
    assert len(anywhere.audit("login.succeeded")) == before + 1
    for name in names:
        assert anywhere.stored(f"acme/{name}") == (tmp_path / name).read_bytes()


def test_a_tree_with_odd_names_goes_there_and_back_with_lftp(
    anywhere: ServedFtps, tmp_path: Path
) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    for directory in ("", "sub dir", "sub dir/ünder#?%&"):
        (there / directory).mkdir(parents=True, exist_ok=True)
        for number, name in enumerate(ODD_NAMES):
            (there / directory / name).write_bytes(os.urandom(100 * number))
    done = anywhere.lftp(f"mirror -R --parallel=2 {there} /tree")
    assert done.returncode == 0, done.stderr
    done = anywhere.lftp(f"mirror --parallel=2 /tree {back}")
    assert done.returncode == 0, done.stderr
    diff = subprocess.run(["diff", "-r", str(there), str(back)], capture_output=True, text=True)
    assert diff.stdout + diff.stderr == ""


def test_rclone_copies_files_of_all_sizes(anywhere: ServedFtps, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for i, size in enumerate([0, 1, 1000, 150_000, 1_000_000, 20 * MIB]):
        (source / f"f{i}.bin").write_bytes(os.urandom(size))
    obscured = subprocess.run(
        ["rclone", "obscure", password_of("alice")], capture_output=True, text=True, check=True
    ).stdout.strip()
    remote = (
        f":ftp,host=127.0.0.1,port={anywhere.port},user=alice,pass={obscured},"
        "explicit_tls=true,no_check_certificate=true:rclone"
    )
    # One connection at a time: docs/adr/0004-data-channel-binding.md says why.
    single = ["--retries", "1", "--transfers", "1", "--checkers", "1", "--ftp-concurrency", "1"]
    done = subprocess.run(
        ["rclone", "--config", "/dev/null", "copy", str(source), remote, *single],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    for path in source.iterdir():
        assert anywhere.stored(f"acme/rclone/{path.name}") == path.read_bytes()


def test_rest_and_retr_give_the_tail(anywhere: ServedFtps) -> None:
    data = os.urandom(700_000)
    with anywhere.login() as client:
        client.upload("tail.bin", data)
        assert client.download("tail.bin", rest=123_456) == data[123_456:]
        assert client.download("tail.bin", rest=len(data)) == b""
        with pytest.raises(ftplib.error_perm, match="554"):
            client.download("tail.bin", rest=len(data) + 1)


def test_directories_are_made_listed_renamed_and_removed(anywhere: ServedFtps) -> None:
    with anywhere.login() as client:
        client.mkd("a dir")
        assert client.cwd("a dir").startswith("250")
        client.upload("x.txt", b"x")
        assert client.pwd() == "/a dir"
        assert client.names() == ["x.txt"]
        assert any("x.txt" in line for line in list_lines(client))
        assert client.nlst() == ["x.txt"]
        client.cwd("..")
        with pytest.raises(ftplib.error_perm, match="550"):
            client.rmd("a dir")
        client.rename("a dir/x.txt", "a dir/y.txt")
        assert client.names("a dir") == ["y.txt"]
        client.delete("a dir/y.txt")
        client.rmd("a dir")
        with pytest.raises(ftplib.error_perm, match="550"):
            client.cwd("a dir")
    events = [row["event"] for row in anywhere.audit()]
    for event in ("directory.created", "file.renamed", "file.deleted", "directory.removed"):
        assert event in events


def list_lines(client: ftplib.FTP) -> list[str]:
    lines: list[str] = []
    client.retrlines("LIST", lines.append)
    return lines


def test_stou_stores_under_a_name_that_it_tells(anywhere: ServedFtps) -> None:
    with anywhere.login() as client:
        client.voidcmd("TYPE I")
        with client.transfercmd("STOU") as data:
            data.sendall(b"unique")
            data.unwrap()  # type: ignore[attr-defined]
        reply = client.final_reply()
    match = re.match(r"226 FILE: (\S+)\.", reply)
    assert match is not None, reply
    assert anywhere.stored(f"acme/{match[1].rstrip('.')}") == b"unique"


def test_feat_and_mlst_tell_what_is_there(anywhere: ServedFtps) -> None:
    with anywhere.login() as client:
        features = client.sendcmd("FEAT")
        for feature in (
            "AUTH TLS",
            "PBSZ",
            "PROT",
            "EPSV",
            "MLST",
            "REST STREAM",
            "SIZE",
            "MDTM",
            "UTF8",
        ):
            assert feature in features
        client.upload("seen.txt", b"12345")
        assert re.search(r"type=file;size=5;modify=\d{14};", client.sendcmd("MLST seen.txt"))
        assert re.fullmatch(r"213 \d{14}", client.sendcmd("MDTM seen.txt"))
