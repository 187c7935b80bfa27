"""FIN without close_notify ends an upload for nobody but a partner who is let off, and there only
with ALLO of exactly what came (invariant 3)."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

import pytest

from tests.clients import FtpsClient, reset_on_close
from tests.faults.test_bad_endings import await_one_row
from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve, ServedFtps

MIB = 1024 * 1024
SIZES = [0, 1, 100_000, 9 * MIB]
OLD = b"the good old bytes"


@pytest.fixture(params=[("sqlite", "filesystem"), ("postgres", "s3")], ids="-".join)
def ftps(request: pytest.FixtureRequest, standing: Serve) -> ServedFtps:
    """A server whose partner acme is let off."""
    ftps = standing(*request.param, options={"control_check_interval": 0.2})
    allow(ftps, True)
    return ftps


def allow(ftps: ServedFtps, value: bool) -> None:
    ftps.query(
        "UPDATE securedrop_ftp_partner SET accept_missing_close_notify = %s WHERE name = 'acme'",
        value,
    )


def fin(data: socket.socket) -> None:
    data.close()


def reset(data: socket.socket) -> None:
    reset_on_close(data)
    data.close()


def bad_record(data: socket.socket) -> None:
    with socket.socket(fileno=os.dup(data.fileno())) as raw:
        raw.settimeout(30)  # the descriptor does not block
        raw.sendall(b"\x17\x03\x03\x40\x00" + b"garbage" * 3000)
    data.close()


def send(
    client: FtpsClient,
    path: str,
    data: bytes,
    *before: str,
    end: Callable[[socket.socket], None] = fin,
) -> str:
    """The final reply to an upload that ends without close_notify."""
    client.voidcmd("TYPE I")
    for line in before:
        client.sendcmd(line)
    channel = client.transfercmd(f"STOR {path}")
    channel.sendall(data)
    end(channel)
    return client.final_reply()


def last_row(ftps: ServedFtps, path: str) -> dict[str, object]:
    rows = [r for r in ftps.audit() if r["path"] == path and r["event"].startswith("upload.")]
    return rows[-1]


@pytest.mark.parametrize("size", SIZES)
def test_a_partner_who_is_let_off_may_end_with_fin_what_allo_announced(
    ftps: ServedFtps, size: int
) -> None:
    path, data = f"/fin-{size}.bin", os.urandom(size)
    with ftps.login() as client:
        assert send(client, path, data, f"ALLO {size}").startswith("226")
        assert client.download(path) == data
    assert ftps.stored(f"acme{path}") == data
    assert last_row(ftps, path)["event"] == "upload.committed"


@pytest.mark.parametrize("announced", ["", "ALLO 99999", "ALLO 100001"])
def test_fin_ends_no_upload_that_allo_did_not_announce_exactly(
    ftps: ServedFtps, announced: str
) -> None:
    path = f"/inexact-{announced[5:] or 'unannounced'}.bin"
    with ftps.login() as client:
        client.upload(path, OLD)
        reply = send(client, path, os.urandom(100_000), *filter(None, [announced]))
        assert reply.startswith("426 The data channel ended without TLS close_notify"), reply
        assert "ALLO" in reply
        assert client.download(path) == OLD
    row = last_row(ftps, path)
    assert row["event"] == "upload.aborted"
    assert "FIN without close_notify" in str(row["reason"])


@pytest.mark.parametrize("end", [reset, bad_record])
@pytest.mark.parametrize("size", SIZES[1:])
def test_a_reset_or_a_bad_record_ends_no_upload_whatever_allo_said(
    ftps: ServedFtps, end: Callable[[socket.socket], None], size: int
) -> None:
    path = f"/bad-{end.__name__}-{size}.bin"
    with ftps.login() as client:
        client.upload(path, OLD)
        reply = send(client, path, os.urandom(size), f"ALLO {size}", end=end)
        assert reply.startswith("426"), reply
        assert client.download(path) == OLD
    assert await_one_row(ftps, path, 1) in ("upload.aborted", "upload.suspended")


def test_fin_ends_no_upload_under_type_a_where_allo_means_the_file(
    ftps: ServedFtps,
) -> None:
    text = b"line\r\n" * 100
    with ftps.login() as client:
        client.upload("/text.txt", OLD)
        client.voidcmd("TYPE I")
        reply = send(client, "/text.txt", text, "TYPE A", f"ALLO {len(text)}")
        assert reply.startswith("426"), reply
        assert "TYPE I" in reply
        assert client.download("/text.txt") == OLD


@pytest.mark.parametrize("counted", ["rest", "whole"])
def test_fin_ends_no_upload_that_goes_on_where_allo_has_two_meanings(
    ftps: ServedFtps, counted: str
) -> None:
    path, data = f"/went-on-{counted}.bin", os.urandom(13 * MIB)
    with ftps.login() as client:
        assert send(client, path, data[: 9 * MIB]).startswith("426")
        client.voidcmd("TYPE I")
        client.sendcmd(f"REST {8 * MIB}")
        announced = 5 * MIB if counted == "rest" else 13 * MIB
        client.sendcmd(f"ALLO {announced}")
        with client.transfercmd(f"STOR {path}") as channel:
            channel.sendall(data[8 * MIB :])
        reply = client.final_reply()
        assert reply.startswith("426"), reply
        assert "whole file" in reply


def test_no_other_partner_is_let_off(ftps: ServedFtps) -> None:
    with ftps.login("bob") as client:
        reply = send(client, "/cut.bin", b"x" * 100, "ALLO 100")
        assert reply.startswith("426 The data channel ended without TLS close_notify"), reply
        assert "ask the operator" in reply
    row = last_row(ftps, "/cut.bin")
    assert (row["event"], row["outcome"]) == ("upload.aborted", "failure")
    assert row["reason"] == "Truncated: FIN without close_notify"
    assert "close TLS before the socket" in str(row["reply"])


def test_who_is_let_off_no_more_is_not_while_the_upload_runs(ftps: ServedFtps) -> None:
    with ftps.login() as client, ftps.login() as other:
        client.voidcmd("TYPE I")
        client.sendcmd("ALLO 200")
        with client.transfercmd("STOR /overtaken.bin") as channel:
            channel.sendall(b"x" * 100)
            allow(ftps, False)
            # One look at all sessions of a worker: what reached the other one has reached this.
            wait_until(lambda: send(other, "/o.bin", b"x", "ALLO 1").startswith("426"), "a look")
            channel.sendall(b"x" * 100)
        assert client.final_reply().startswith("426")
