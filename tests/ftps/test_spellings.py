"""NFC and NFD names over real sockets: macOS sends é as two characters, most others as one."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.fixtures.served import Serve, ServedFtps


def nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


@pytest.fixture(params=["filesystem", "s3", "memory"])
def anywhere(request: pytest.FixtureRequest, standing: Serve) -> ServedFtps:
    return standing("sqlite", storage=request.param)


@pytest.fixture(params=["filesystem", "s3"])
def seen(request: pytest.FixtureRequest, standing: Serve) -> ServedFtps:
    """Where a test can put files behind the service."""
    return standing("sqlite", storage=request.param)


def test_two_spellings_are_one_file(anywhere: ServedFtps) -> None:
    name = "Café twins.txt"
    with anywhere.login() as client:
        client.upload(nfd(name), b"of a Mac")
        client.upload(name, b"of a PC")
        assert [n for n in client.names() if "twins" in n] == [name]
        assert client.download(nfd(name)) == b"of a PC"
        assert client.reply_to(f"HASH {nfd(name)}").endswith(f" /{name}")
        assert client.reply_to(f"MLST {nfd(name)}").split("\n")[1].endswith(f" /{name}")
        for verb in ("SIZE", "MDTM"):
            assert client.reply_to(f"{verb} {nfd(name)}").startswith("213")
        assert client.reply_to("SIZE CAFÉ twins.txt").startswith("550")  # another name
        assert client.nlst(nfd("Café*")) == [name]
        assert client.rename(nfd(name), nfd("Café two")).startswith("250")
        assert client.delete("Café two").startswith("250")


def test_two_spellings_are_one_directory(anywhere: ServedFtps) -> None:
    name = "données"
    with anywhere.login() as client:
        assert client.reply_to(f"MKD {nfd(name)}") == f'257 "/{name}" created.'
        assert client.reply_to(f"MKD {name}").startswith("550")
        client.upload(f"{nfd(name)}/été", b"1")
        assert client.names(nfd(name)) == ["été"]
        assert client.nlst(nfd(name)) == [f"{nfd(name)}/été"]
        client.cwd(nfd(name))
        assert client.pwd() == f"/{name}"
        assert client.download(nfd("été")) == b"1"
        client.delete(nfd("été"))
        client.cwd("/")
        assert client.reply_to(f"RMD {nfd(name)}").startswith("250")


def test_what_is_there_in_nfd_is_found_by_every_verb(seen: ServedFtps) -> None:
    directory, name = "Archivé", "Größe.txt"
    there = nfd(f"/{directory}/{name}")
    path = f"/{directory}/{name}"
    seen.store.put(f"acme{there}", b"old bytes")
    with seen.login() as client:
        client.cwd(f"/{directory}")
        assert client.pwd() == nfd(f"/{directory}")
        assert client.names() == client.nlst() == client.names(f"/{directory}") == [nfd(name)]
        for sent in (path, there, name):
            assert client.download(sent) == b"old bytes"
            assert client.reply_to(f"SIZE {sent}") == "213 9"
            assert client.reply_to(f"MLST {sent}").split("\n")[1].endswith(f" {there}")
        lines: list[str] = []
        client.retrlines(f"LIST {path}", lines.append)
        assert [line.rpartition(" ")[2] for line in lines] == [nfd(name)]
        assert nfd(name) in client.reply_to(f"STAT {path}")
        assert client.reply_to(f"MKD /{directory}").startswith("550")
        client.upload(path, b"new bytes")
        assert seen.stored(f"acme{there}") == b"new bytes"
        client.upload("neué", b"1")
        assert client.names() == [nfd(name), "neué"]
        assert client.delete("neué").startswith("250")
        assert client.rename(name, name) == "250 Renamed."
        assert client.names() == [name]
        assert client.delete(path).startswith("250")
        client.cwd("/")
        client.reply_to(f"RMD /{directory}")
        assert client.reply_to(f"CWD {directory}").startswith("550")


def test_an_interrupted_upload_goes_on_under_the_name_as_it_was_sent(standing: Serve) -> None:
    ftps = standing("sqlite", options={"part_size": 65536})
    data, name = bytes(range(256)) * 1024, nfd("été.bin")
    with ftps.login() as client:
        client.truncated_upload(name, data)
        length = client.size(name)
        assert length
        assert client.size("été.bin") == length
        assert "joined at" in client.try_to_store(f"STOR {name}", data[length:], rest=length)
        assert client.download("été.bin") == data
        client.truncated_upload(f"{name}2", data)
        assert client.delete("été.bin2") == "250 Suspended upload discarded."


def test_curl_with_nfd_names(seen: ServedFtps, tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"by curl")
    sent = f"/{nfd('à-curl')}/{nfd('naïve.txt')}"
    done = seen.curl("--ftp-create-dirs", "-T", str(file), path=quote(sent))
    assert done.returncode == 0, done.stderr
    assert seen.stored("acme/à-curl/naïve.txt") == b"by curl"
    for path in (sent, "/à-curl/naïve.txt"):
        done = seen.curl(path=quote(path))
        assert done.stdout == "by curl"


def test_lftp_mirrors_a_macs_tree_again_and_again(seen: ServedFtps, tmp_path: Path) -> None:
    file = tmp_path / nfd("été") / nfd("Übung.txt")
    file.parent.mkdir()
    file.write_bytes(b"by lftp")
    for _ in range(2):
        done = seen.lftp(f"mirror -R {tmp_path} /by-lftp-ü")
        assert done.returncode == 0, done.stderr
    keys = seen.keys()
    assert [key for key in keys if "by-lftp" in key] == ["acme/by-lftp-ü/été/Übung.txt"]
    back = tmp_path / "back"
    assert seen.lftp(f"mirror {nfd('/by-lftp-ü')} {back}").returncode == 0
    assert (back / "été" / "Übung.txt").read_bytes() == b"by lftp"
