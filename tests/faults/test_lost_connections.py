"""PostgreSQL ends connections: what was under way may fail, what comes after may not."""

from __future__ import annotations

import ftplib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg

from tests.clients import FtpsClient
from tests.fixtures import postgres as postgres_server
from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve, ServedFtps, make_cast

#: Accounts whose sessions send file after file; two of each.
SENDERS = ("alice", "bob", "carol", "erin") * 2
ROUNDS = 10
#: Files that each of them sends between two rounds.
FILES = 3


def end_all_connections(ftps: ServedFtps) -> int:
    """Terminate every backend but the one that asks, and wait until they are gone; how many."""
    with psycopg.connect(ftps.database_url, autocommit=True) as other:
        ended = {
            pid
            for pid, _ in other.execute(
                "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        }

        def gone() -> bool:
            left = other.execute("SELECT pid FROM pg_stat_activity").fetchall()
            return not ended & {pid for (pid,) in left}

        wait_until(gone, "the end of the connections")
    return len(ended)


@dataclass
class Senders:
    """Sessions that send small files; each file is noted with the round that it began in."""

    ftps: ServedFtps
    round: int = 0
    calm: bool = True  # no connection is being ended
    stop: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)
    #: (sender, round) to the replies of files that began and ended in the calm of that round.
    replies: dict[tuple[int, int], list[str]] = field(default_factory=dict)
    acknowledged: dict[str, bytes] = field(default_factory=dict)

    def send(self, number: int, username: str) -> None:
        sent = 0
        while not self.stop:
            try:
                with self.ftps.login(username) as client:
                    while not self.stop:
                        sent += 1
                        self._send_one(client, number, f"/{number}-{sent}.bin")
            except (ftplib.Error, OSError, EOFError):
                continue  # the login, or the session, met the end of a connection

    def _send_one(self, client: FtpsClient, number: int, name: str) -> None:
        data = f"{name} of {number}".encode()
        with self.lock:
            began, calm = self.round, self.calm
        try:
            reply = client.upload(name, data)
        except ftplib.error_temp as exc:
            reply = str(exc)
        with self.lock:
            if calm and self.calm and self.round == began:
                self.replies.setdefault((number, began), []).append(reply)
            if reply.startswith("226"):
                self.acknowledged[name] = data

    def done(self) -> bool:
        """Whether each has sent its files of this round."""
        with self.lock:
            return all(
                len(self.replies.get((number, self.round), [])) >= FILES
                for number in range(len(SENDERS))
            )

    def next_round(self, disturb: Callable[[], object]) -> None:
        with self.lock:
            self.calm = False
        disturb()
        with self.lock:
            self.round += 1
            self.calm = True


@contextmanager
def sending(ftps: ServedFtps) -> Iterator[Senders]:
    senders = Senders(ftps)
    threads = [
        threading.Thread(target=senders.send, args=(number, username))
        for number, username in enumerate(SENDERS)
    ]
    for thread in threads:
        thread.start()
    try:
        yield senders
    finally:
        senders.stop = True
        for thread in threads:
            thread.join()


def all_is_told_truly(ftps: ServedFtps, senders: Senders) -> None:
    """Every reply in the calm is 226; what was acknowledged is stored, once, under its name."""
    told = {reply for replies in senders.replies.values() for reply in replies}
    assert all(reply.startswith("226") for reply in told), told

    def settled() -> bool:
        return not {"receiving", "publishing"} & {row["state"] for row in ftps.uploads()}

    wait_until(settled, "an end of every upload")
    finished = ftps.keys()
    stored = {key.rpartition("/")[2]: key for key in finished}
    for name, data in senders.acknowledged.items():
        assert ftps.stored(stored[name[1:]]) == data
    committed = [row["key"] for row in ftps.uploads() if row["state"] == "committed"]
    assert sorted(committed) == sorted(set(committed)) == finished


def test_a_worker_under_load_has_few_connections_and_nobody_is_refused_for_it(
    served: Serve,
) -> None:
    """Six of the worker; the supervisor's own come and go."""
    ftps = served("postgres", workers=1)
    most = 0
    with (
        sending(ftps) as senders,
        psycopg.connect(ftps.database_url, autocommit=True) as other,
    ):

        def done() -> bool:
            nonlocal most
            row = other.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND backend_type = 'client backend'"  # and no autovacuum worker
            ).fetchone()
            assert row is not None
            most = max(most, row[0])
            return senders.done()

        for _ in range(3):
            wait_until(done, "files of every session")
            senders.next_round(lambda: None)
    assert 3 <= most <= 6 + 1
    all_is_told_truly(ftps, senders)


def test_uploads_begun_after_every_connection_was_ended_under_load_are_stored(
    served: Serve,
) -> None:
    ftps = served("postgres", workers=2, options={"lease_seconds": 3})
    ftps.faults_expected = True  # the log says what was lost
    with sending(ftps) as senders:
        for _ in range(ROUNDS):
            wait_until(senders.done, "files of every session")
            senders.next_round(lambda: end_all_connections(ftps))
        wait_until(senders.done, "files of every session")
    all_is_told_truly(ftps, senders)


def test_uploads_go_on_after_postgresql_was_killed_and_started_again(served: Serve) -> None:
    with postgres_server.running() as server:
        ftps = served(start=False, options={"lease_seconds": 3}, workers=2)
        ftps.database_url = server.database()
        ftps.settings["DATABASE_URL"] = ftps.database_url
        make_cast(ftps.database_url, ftps.directory)
        ftps.faults_expected = True
        ftps.start()

        def kill_and_start() -> None:
            server.stop(crash=True)
            server.start()

        with sending(ftps) as senders:
            for _ in range(2):
                wait_until(senders.done, "files of every session")
                senders.next_round(kill_and_start)
            wait_until(senders.done, "files of every session")
        all_is_told_truly(ftps, senders)
        assert ftps.stop() == 0
