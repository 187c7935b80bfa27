"""Nodes that share a database: each has its name, and the dead are told from the living."""

from __future__ import annotations

import io
import os
import signal
import ssl
from datetime import timedelta

import pytest

from securedrop_ftp import clock
from securedrop_ftp.intake import owners
from securedrop_ftp.models import ServiceBoot
from tests.clients import FtpsClient
from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve, ServedFtps

PART = 5 * 1024 * 1024


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_a_second_service_of_a_nodes_name_does_not_start_and_ends_no_upload(
    served: Serve, database: str
) -> None:
    first = served(database, options={"node": "one"})
    second = served(beside=first, start=False)
    second.settings["NODE"] = "one"
    with first.login() as client:
        client.voidcmd("TYPE I")
        with client.transfercmd("STOR /slow.bin") as data:
            assert isinstance(data, ssl.SSLSocket)
            data.sendall(b"one")
            with pytest.raises(RuntimeError, match="Another “ftps” service runs as node “one”"):
                second.start()
            assert first.manage("uploads_recover") == "Settled: nothing was left.\n"
            data.sendall(b"two")
            data.unwrap()
        assert client.voidresp().startswith("226")
    assert first.stored("acme/slow.bin") == b"onetwo"


def test_a_node_that_ended_or_was_killed_leaves_its_name(served: Serve) -> None:
    ftps = served(options={"node": "one"})
    assert ftps.stop() == 0
    assert not ftps.query("SELECT * FROM securedrop_ftp_serviceboot")
    ftps.restart()
    ftps.kill()
    ftps.restart()
    with ftps.login() as client:
        assert client.upload("/a.bin", b"a").startswith("226")


def kill_node(ftps: ServedFtps) -> None:
    """As if its machine had lost its power."""
    workers = ftps.workers
    ftps.kill()
    for pid in workers:
        os.kill(pid, signal.SIGKILL)


def seen_size(client: FtpsClient) -> int:
    reply = client.reply_to("SIZE /big.bin")
    return int(reply.split()[1]) if reply.startswith("213") else 0


def test_what_a_dead_node_received_is_told_and_goes_on_on_another(served: Serve) -> None:
    """Long before its lease runs out, and whoever looks ends nothing."""
    options = {"part_size": PART, "lease_seconds": 3600}
    one = served("postgres", "s3", options=options | {"node": "one"})
    two = served(beside=one, options=options)
    one.faults_expected = True
    data = os.urandom(3 * PART)

    def recorded() -> bool:
        (row,) = one.uploads()
        return bool(row["received"] >= 2 * PART)

    with one.login() as client:
        client.voidcmd("TYPE I")
        with client.transfercmd("STOR /big.bin") as channel:
            channel.sendall(data[: 2 * PART + 1000])
            wait_until(recorded, "two parts in the ledger")
            with two.login() as other:
                other.voidcmd("TYPE I")
                assert seen_size(other) == PART  # its writer lives; 3 s were waited for its end
                assert [row["state"] for row in two.uploads()] == ["receiving"]
                kill_node(one)
                wait_until(lambda: seen_size(other) == PART, "the durable length")
                assert [row["state"] for row in two.uploads()] == ["receiving"]
                rest = io.BytesIO(data[PART:])
                assert other.storbinary("STOR /big.bin", rest, rest=PART).startswith("226")
    assert two.stored("acme/big.bin") == data


# --- where the kernel cannot be asked ----------------------------------------------------


def boot(**changes: object) -> ServiceBoot:
    """Of a service on another machine, which beats."""
    now = clock.now()
    values: dict[str, object] = {
        "id": "1-beef", "node": "far", "service": "ftps", "machine": "another/1",
        "pid": 2**22 + 1, "pid_started": "1", "since": now, "beat": now,
    }  # fmt: skip
    return ServiceBoot.objects.create(**values | changes)


def test_a_process_of_another_machine_lives_as_long_as_it_beats(db: None) -> None:
    boot()
    assert owners.gone(["far:ftps:1-beef:0.1"]) == set()


def test_a_process_is_dead_fifteen_seconds_after_its_last_beat(db: None) -> None:
    boot(beat=clock.now() - timedelta(seconds=owners.DEAD_AFTER + 1))
    assert owners.gone(["far:ftps:1-beef:0.1"]) == {"far:ftps:1-beef:0.1"}


def test_a_process_of_this_machine_is_dead_when_the_kernel_says_so(db: None) -> None:
    this = owners.Boot.of_this_process("1-beef", "here", "ftps")
    boot(node="here", machine=this.machine)
    assert owners.gone(["here:ftps:1-beef:0.1"]) == {"here:ftps:1-beef:0.1"}


def test_a_service_whose_row_is_gone_has_ended_and_a_command_is_left_to_its_lease(
    db: None,
) -> None:
    writers = ["far:ftps:1-beef:0.1", "far:command:1-beef:0.0", "far:1-beef:0.1"]
    assert owners.gone(writers) == {"far:ftps:1-beef:0.1"}
