"""However an upload ends badly, storage is as it was and one audit row says why."""

from __future__ import annotations

import contextlib
import ftplib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pytest

from tests.clients import FtpsClient, reset_on_close
from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve, ServedFtps

MIB = 1024 * 1024
OLD = b"the good old bytes"

#: What an attempt may leave: exactly one of these rows.
ENDINGS = ("upload.committed", "upload.aborted", "upload.suspended", "upload.rejected")


@pytest.fixture(params=[("sqlite", "filesystem"), ("postgres", "s3")], ids="-".join)
def anywhere(request: pytest.FixtureRequest, standing: Serve) -> ServedFtps:
    return standing(*request.param)


def rows_of(ftps: ServedFtps, path: str) -> list[str]:
    return [r["event"] for r in ftps.audit() if r["path"] == path and r["event"] in ENDINGS]


def await_one_row(ftps: ServedFtps, path: str, before: int) -> str:
    wait_until(lambda: len(rows_of(ftps, path)) > before, f"an audit row of {path}")
    rows = rows_of(ftps, path)
    assert len(rows) == before + 1
    return rows[-1]


def close_without_notify(client: FtpsClient, data: socket.socket) -> None:
    data.close()


def reset(client: FtpsClient, data: socket.socket) -> None:
    reset_on_close(data)
    data.close()


def garbage(client: FtpsClient, data: socket.socket) -> None:
    raw = socket.socket(fileno=os.dup(data.fileno()))
    raw.settimeout(30)  # the descriptor does not block
    raw.sendall(b"\x17\x03\x03\x40\x00" + b"garbage" * 3000)
    raw.close()


def abor(client: FtpsClient, data: socket.socket) -> None:
    client.putcmd("ABOR")


def abor_with_telnet_synch(client: FtpsClient, data: socket.socket) -> None:
    assert client.sock is not None
    client.sock.sendall(b"\xff\xf4\xff\xf2ABOR\r\n")


@pytest.mark.parametrize(
    "end", [close_without_notify, reset, garbage, abor, abor_with_telnet_synch]
)
@pytest.mark.parametrize("size", [1, 100_000, 9 * MIB])
def test_a_truncated_upload_changes_no_object_and_is_never_acknowledged(
    anywhere: ServedFtps, end: Callable[[FtpsClient, socket.socket], None], size: int
) -> None:
    path = f"/cut-{end.__name__}-{size}.bin"
    with anywhere.login() as client:
        client.upload(path, OLD)
        client.voidcmd("TYPE I")
        data = client.transfercmd(f"STOR {path}")
        data.sendall(os.urandom(size))
        end(client, data)
        reply = client.final_reply()
        assert reply[0] in "45", reply
        if end in (abor, abor_with_telnet_synch):
            assert reply.startswith("426")
            assert client.final_reply().startswith("226 ABOR")
        data.close()
        assert client.sendcmd("NOOP").startswith("200")
        assert client.download(path) == OLD
    assert await_one_row(anywhere, path, 1) in ("upload.aborted", "upload.suspended")


def test_a_lost_control_channel_ends_the_upload(anywhere: ServedFtps) -> None:
    path = "/cut-control.bin"
    with anywhere.login() as client:
        client.upload(path, OLD)
        client.voidcmd("TYPE I")
        data = client.transfercmd(f"STOR {path}")
        data.sendall(b"x" * 50_000)
        client.close()
        data.settimeout(5)
        with contextlib.suppress(ConnectionError):  # the stock client takes RST for an end
            assert data.recv(1) == b""
        data.close()
    assert await_one_row(anywhere, path, 1) in ("upload.aborted", "upload.suspended")
    assert anywhere.stored(f"acme{path}") == OLD


@contextlib.contextmanager
def outlived(port: int) -> Iterator[int]:
    """The port of a relay that keeps its connection to ``port`` when its client is gone, as a
    gateway does that has not noticed."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        kept = stack.enter_context(socket.create_connection(("127.0.0.1", port)))

        def carry(source: socket.socket, target: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while data := source.recv(65536):
                    target.sendall(data)

        def serve() -> None:
            with contextlib.suppress(OSError):
                client, _ = listener.accept()
                with client:
                    back = Thread(target=carry, args=(kept, client), daemon=True)
                    back.start()
                    carry(client, kept)

        Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


@pytest.mark.parametrize("outlives", [False, True], ids=["with-control", "control-lives-on"])
def test_a_killed_curl_leaves_nothing(anywhere: ServedFtps, outlives: bool) -> None:
    """Where the control channel ends, too, that alone may end the upload; where it lives on, the
    data channel's FIN is all that tells of the end."""
    for attempt in range(3):
        path = f"/killed-{outlives}-{attempt}.bin"
        way = outlived(anywhere.port) if outlives else contextlib.nullcontext(anywhere.port)
        with way as port:
            kill_in_an_upload(anywhere.ca, port, path)
            ending = await_one_row(anywhere, path, 0)
            assert ending in ("upload.aborted", "upload.suspended")
            assert f"acme{path}" not in set(anywhere.keys())


def kill_in_an_upload(ca: Path, port: int, path: str) -> None:
    """Kill curl when it has sent a part, and waits for more."""
    with subprocess.Popen(
        [
            "curl", "-s", "--ssl-reqd", "--cacert", str(ca),
            "-u", "alice:alice-and-a-long-test-password", "-T", "-",
            f"ftp://127.0.0.1:{port}{path}",
        ],
        stdin=subprocess.PIPE,
    ) as client:  # fmt: skip
        assert client.stdin is not None
        # More than the pipe and curl's buffers hold: most of it is on its way when this returns.
        client.stdin.write(os.urandom(4 * MIB))
        client.stdin.flush()
        client.kill()


def test_an_upload_without_a_data_connection_ends_with_425(served: Serve) -> None:
    ftps = served(options={"passive_timeout": 1})
    with ftps.login() as client:
        client.makepasv()
        client.putcmd("STOR /never.bin")
        assert client.final_reply().startswith("150")
        assert client.final_reply().startswith("425")
    assert await_one_row(ftps, "/never.bin", 0) == "upload.aborted"
    assert ftps.keys() == []


def test_an_upload_that_stalls_is_cut_off(served: Serve) -> None:
    ftps = served(options={"stall_window": 2})
    with ftps.login() as client:
        client.voidcmd("TYPE I")
        with client.transfercmd("STOR /stalled.bin") as data:
            data.sendall(b"only this")
            assert client.final_reply().startswith("426")
    assert await_one_row(ftps, "/stalled.bin", 0) == "upload.aborted"
    assert ftps.keys() == []


def test_a_trickle_above_the_rate_is_no_stall(served: Serve) -> None:
    ftps = served(options={"stall_window": 1, "min_transfer_rate": 100})
    with ftps.login() as client:
        client.voidcmd("TYPE I")
        with client.transfercmd("STOR /slow.bin") as data:
            for _ in range(30):
                data.sendall(b"x" * 100)
                time.sleep(0.1)
            data.unwrap()  # type: ignore[attr-defined]
        assert client.final_reply().startswith("226")
    assert ftps.stored("acme/slow.bin") == b"x" * 3000


def test_quit_behind_an_upload_lets_it_end_first(anywhere: ServedFtps) -> None:
    with anywhere.login() as client:
        client.voidcmd("TYPE I")
        with client.transfercmd("STOR /with-quit.bin") as data:
            data.sendall(b"all of it")
            client.putcmd("QUIT")
            data.unwrap()  # type: ignore[attr-defined]
        assert client.final_reply().startswith("226")
        assert client.final_reply().startswith("221")
    assert anywhere.stored("acme/with-quit.bin") == b"all of it"


@pytest.mark.parametrize("line", ["ABOR", "EPSV", "QUIT", "NOOP", ""])
def test_whatever_follows_the_last_byte_there_is_one_reply_and_it_is_true(
    anywhere: ServedFtps, line: str
) -> None:
    for attempt in range(10):
        path = f"/end-{line or 'lost'}-{attempt}.bin"
        with anywhere.login() as client:
            client.voidcmd("TYPE I")
            with client.transfercmd(f"STOR {path}") as data:
                data.sendall(b"payload")
                data.unwrap()  # type: ignore[attr-defined]
            if not line:
                client.close()
            else:
                client.putcmd(line)
                reply = client.final_reply()
                assert reply[:3] in ("226", "426"), reply
                following = client.final_reply()
                assert following[:3] in ("226", "225", "229", "221", "200"), following
                stored = f"acme{path}" in set(anywhere.keys())
                assert stored == (reply[:3] == "226")
        ending = await_one_row(anywhere, path, 0)
        assert (ending == "upload.committed") == (f"acme{path}" in set(anywhere.keys()))


def test_a_download_that_the_client_drops_is_recorded_as_aborted(anywhere: ServedFtps) -> None:
    with anywhere.login() as client:
        client.upload("/big.bin", os.urandom(20 * MIB))
        client.voidcmd("TYPE I")
        data = client.transfercmd("RETR /big.bin")
        data.recv(1000)
        reset(client, data)
        assert client.final_reply().startswith(("426", "451"))
        assert client.sendcmd("NOOP").startswith("200")
    wait_until(lambda: bool(anywhere.audit("download.aborted")), "the audit row")


def test_sigterm_lets_a_running_upload_end(served: Serve) -> None:
    ftps = served()
    with ftps.login() as client:
        client.voidcmd("TYPE I")
        with client.transfercmd("STOR /draining.bin") as data:
            data.sendall(b"a" * 100_000)
            ftps.child.process.send_signal(signal.SIGTERM)
            wait_until(lambda: "worker.draining" in ftps.log, "the drain")
            data.sendall(b"b" * 100_000)
            data.unwrap()  # type: ignore[attr-defined]
        assert client.final_reply().startswith("226")
        assert client.final_reply().startswith("421")
    ftps.child.process.wait(30)
    assert ftps.stored("acme/draining.bin") == b"a" * 100_000 + b"b" * 100_000


def test_when_the_supervisor_is_killed_its_workers_end(served: Serve) -> None:
    ftps = served(workers=2)
    workers = ftps.workers
    assert len(workers) == 2
    ftps.kill()
    wait_until(lambda: not any(_alive(pid) for pid in workers), "the end of the workers")


def test_a_killed_worker_is_replaced_and_its_slots_are_free(served: Serve) -> None:
    ftps = served(workers=1, env={"SECUREDROP_MAX_CONNECTIONS_PER_IP": "2"})
    with ftps.login(), ftps.login():
        os.kill(ftps.workers[0], signal.SIGKILL)
        wait_until(lambda: _logs_in(ftps), "the new worker")


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except FileNotFoundError:
        return False


def _logs_in(ftps: ServedFtps) -> bool:
    try:
        with ftps.login() as client:
            return client.sendcmd("NOOP").startswith("200")
    except (OSError, EOFError, ftplib.Error):
        return False
