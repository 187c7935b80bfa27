"""A download ends in 226 only if every byte of the very file that was asked for was sent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fixtures.served import Serve, ServedFtps

MIB = 1024 * 1024


@pytest.fixture(params=["filesystem", "s3"])
def anywhere(request: pytest.FixtureRequest, standing: Serve) -> ServedFtps:
    # Small ranges, so that most of the file is not yet asked for when the fault comes.
    return standing("sqlite", request.param, options={"read_range": 65536, "read_ahead": 1})


def test_a_file_replaced_in_the_middle_of_a_download_is_not_passed_off_as_whole(
    anywhere: ServedFtps,
) -> None:
    with anywhere.login() as client:
        client.upload("/moving.bin", os.urandom(40 * MIB))
        client.voidcmd("TYPE I")
        with client.transfercmd("RETR /moving.bin") as data:
            data.recv(1000)
            anywhere.store.put("acme/moving.bin", os.urandom(40 * MIB))
            received = 1000
            while chunk := _receive(data):
                received += len(chunk)
        reply = client.final_reply()
        assert reply[0] in "45", reply
        assert received < 40 * MIB
        assert client.sendcmd("NOOP").startswith("200")
    row = [r for r in anywhere.audit() if r["path"] == "/moving.bin"][-1]
    assert (row["event"], row["outcome"]) == ("download.aborted", "failure")


def _receive(data: object) -> bytes:
    try:
        return data.recv(65536)  # type: ignore[attr-defined, no-any-return]  # a TLS socket
    except OSError:
        return b""


def test_a_download_over_a_slow_reader_is_whole(anywhere: ServedFtps, tmp_path: Path) -> None:
    source, back = tmp_path / "source.bin", tmp_path / "back.bin"
    source.write_bytes(os.urandom(3 * MIB))
    with anywhere.login() as client:
        client.upload("/slow.bin", source.read_bytes())
    done = anywhere.curl("--limit-rate", "1M", "-o", str(back), path="/slow.bin")
    assert done.returncode == 0, done.stderr
    assert back.read_bytes() == source.read_bytes()
