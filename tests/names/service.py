"""The service under the model: nine partners with two accounts, two workers, sessions that stay."""

from __future__ import annotations

import hashlib
import itertools
import json
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests import clients
from tests.fixtures.cast import password_of
from tests.fixtures.served import ServedFtps
from tests.names.acts import GONE, Session, source_port
from tests.names.model import Mode, Policy

MODES: Final[tuple[Mode, ...]] = ("drop", "dropbox", "exchange")
POLICIES: Final[tuple[Policy, ...]] = ("reject", "replace", "version")
#: Each session's account, by its number; 0 and 2 are of one worker, as a rule, 1 of the other.
ACCOUNTS: Final = ("one", "one", "two")
#: Connections that are made at once, and how often, for one of a certain worker.
_AT_ONCE: Final = 4
_TRIES: Final = 5
#: Seconds for what the service does by itself.
PATIENCE: Final = 60.0

_MAKE: Final = """
import io, sys
from django.core.management import call_command
for policy in {policies}:
    for mode in {modes}:
        name = policy + "-" + mode
        call_command("partner_create", name, mode=mode, overwrite=policy, stdout=io.StringIO())
        for who in ("one", "two"):
            account = who + "-" + name
            sys.stdin = io.StringIO(account + "-and-a-long-test-password\\n")
            call_command("account_create", name, account, "--password-stdin", stdout=io.StringIO())
"""

_OPEN: Final = """
SELECT (SELECT count(*) FROM securedrop_ftp_upload WHERE state = 'receiving') AS receiving,
       (SELECT count(*) FROM securedrop_ftp_upload WHERE state = 'publishing') AS publishing,
       (SELECT count(*) FROM securedrop_ftp_namechange) AS changing
"""

_BETWEEN: Final = "key >= %s AND key < %s"
_CURRENT: Final = f"""
SELECT key, path, sha256, username FROM securedrop_ftp_upload WHERE current AND {_BETWEEN}
"""
#: The order of what began and what finished stays.
_AGE: Final = {
    "sqlite": f"""
UPDATE securedrop_ftp_upload SET
    finished = strftime('%Y-%m-%d %H:%M:%f', finished, '-13 hours'),
    started = strftime('%Y-%m-%d %H:%M:%f', started, '-13 hours')
WHERE state = 'committed' AND {_BETWEEN}
""",
    "postgres": f"""
UPDATE securedrop_ftp_upload SET
    finished = finished - interval '13 hours', started = started - interval '13 hours'
WHERE state = 'committed' AND {_BETWEEN}
""",
}


def settings(control: Path) -> dict[str, str]:
    """What the service's environment needs."""
    return {
        "DJANGO_SETTINGS_MODULE": "tests.fixtures.armed_settings",
        "ARMED_FOLDER": str(control),
    }


@dataclass
class Service:
    """``control``: the folder of :mod:`tests.fixtures.armed_storage`. ``copies``: storage renames
    by a copy. Processes are killed in a share of the sequences, and in another storage fails.
    ``races``: two sessions act at once."""

    ftps: ServedFtps
    control: Path
    copies: bool = False
    killed_share: float = 0.04
    failing_share: float = 0.06
    races: bool = True
    part_size: int = 64 * 1024
    _sessions: dict[tuple[str, int], Session] = field(default_factory=dict)
    _workers: dict[int, int] = field(default_factory=dict)
    _before: list[int] = field(default_factory=list)
    _read: int = 0
    _folders: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def make_partners(self) -> None:
        self.ftps.manage("shell", "-c", _MAKE.format(modes=MODES, policies=POLICIES))

    def folder(self, partner: str) -> str:
        """A directory that no sequence has had yet, made by the partner's first session."""
        path = f"/s{next(self._folders)}"
        session = self.session(partner, 0)
        told = session.client.reply_to(f"MKD {path}")
        assert told.startswith("257"), told
        return path

    # --- sessions ---------------------------------------------------------------------

    def is_on_two_workers(self, partner: str) -> bool:
        """Whether the partner's sessions are."""
        return len({s.worker for (of, _), s in self._sessions.items() if of == partner}) > 1

    def session(self, partner: str, number: int) -> Session:
        """The partner's session; a new one where it is gone."""
        found = self._sessions.get((partner, number))
        if found is not None and self._lives(found):
            return found
        made = self._sessions[partner, number] = self._new(partner, number)
        return made

    def _lives(self, session: Session) -> bool:
        return not session.is_gone and runs(session.worker)

    def _new(self, partner: str, number: int) -> Session:
        """Of the worker that the session's number asks for, as a rule."""
        wanted = self.workers()[number % 2]
        username = f"{ACCOUNTS[number]}-{partner}"
        client = self._connected_to(wanted)
        client.login(username, password_of(username))
        client.prot_p()
        client.voidcmd("TYPE I")
        worker = worker_of(source_port(client), self.workers())
        assert worker is not None
        return Session(number, ACCOUNTS[number], client, worker)

    def _connected_to(self, wanted: int) -> clients.FtpsClient:
        """Where the other worker happens to take all that come, it is that one."""
        with ExitStack() as others:
            for _ in range(_TRIES):
                with ThreadPoolExecutor(_AT_ONCE) as pool:
                    made = list(pool.map(lambda _: self._connection(), range(_AT_ONCE)))
                right = [c for c in made if worker_of(source_port(c), [wanted]) is not None]
                chosen = right[0] if right else None
                for client in made:
                    if client is not chosen:
                        others.callback(client.close)
                if chosen is not None:
                    return chosen
        return self._connection()

    def _connection(self) -> clients.FtpsClient:
        client = clients.FtpsClient(context=self._context(), timeout=PATIENCE)
        client.connect("127.0.0.1", self.ftps.port)
        return client

    def _context(self) -> ssl.SSLContext:
        return clients.tls_context(self.ftps.ca)

    def lost(self, partner: str) -> list[int]:
        """Which of the partner's sessions are gone. Their clients are closed."""
        mine = {number: self._sessions.get((partner, number)) for number in range(len(ACCOUNTS))}
        gone = [
            number
            for number, session in mine.items()
            if session is not None and not session.is_gone and not self._answers(session)
        ]
        for number in gone:
            self._sessions[partner, number].drop()
        return gone

    def _answers(self, session: Session) -> bool:
        if session.is_sending or not runs(session.worker):
            return runs(session.worker)
        try:
            return session.client.reply_to("NOOP").startswith("2")
        except GONE:
            return False

    # --- faults -----------------------------------------------------------------------

    def arm(self, name: str, what: str) -> None:
        """``kill`` or ``fault``; see :mod:`tests.fixtures.armed_storage`."""
        self._before = self.workers()
        (self.control / f"{name}.done").unlink(missing_ok=True)
        (self.control / name).write_text(what)

    def disarm(self, name: str) -> bool:
        """Whether it worked."""
        with suppress(FileNotFoundError):
            (self.control / name).unlink()
            return False
        return True

    def replaced(self) -> None:
        """Wait until another worker runs in the place of the one that was killed."""
        wait_for(lambda: self.workers() != self._before, "a new worker")

    def settle(self, running: int) -> None:
        """Wait until ``running`` uploads are being received, and nothing else is open."""
        wait_for(lambda: self._open() == [running, 0, 0], "what the dead left is settled")

    def workers(self) -> list[int]:
        """The process ids of the two workers, as the log has them: the supervisor has other
        children too."""
        log = self.ftps.directory / "ftps-1.log"
        with log.open("rb") as lines:
            lines.seek(self._read)
            for line in lines:
                if not line.endswith(b"\n"):
                    break  # the rest of it is still to come
                self._read += len(line)
                if b'"worker.started"' in line:
                    started = json.loads(line)
                    self._workers[started["worker"]] = started["pid"]
        return [pid for _, pid in sorted(self._workers.items())]

    def _open(self) -> list[int]:
        """Uploads that are received, that are publishing, and renames and deletions."""
        (row,) = self.ftps.query(_OPEN)
        return [row["receiving"], row["publishing"], row["changing"]]

    # --- what there is ----------------------------------------------------------------

    def stored(self, partner: str, folder: str) -> dict[str, tuple[str, int]]:
        """(digest, size) of what storage has below a folder, by the path in it."""
        prefix = f"{partner}{folder}/"
        found = {}
        for key, data in self.ftps.store.below(prefix).items():
            found[key.removeprefix(prefix)] = (hashlib.sha256(data).hexdigest(), len(data))
        return found

    def current(self, prefix: str) -> dict[str, tuple[str, str, str]]:
        """(account, path, digest) of the ledger's current uploads below a prefix, by key; both
        names without the prefix."""
        rows = self.ftps.query(_CURRENT, prefix, prefix + "\U0010ffff")
        folder = "/" + prefix.partition("/")[2]
        found = {}
        for row in rows:
            key = row["key"].removeprefix(prefix)
            assert key not in found, f"two current uploads of {key}"
            path = row["path"].removeprefix(folder)
            found[key] = (row["username"].partition("-")[0], path, row["sha256"])
        return found

    def age(self, prefix: str) -> None:
        """What is below a prefix was stored an hour before, and then a day before."""
        kind = self.ftps.database_url.partition(":")[0]
        sql = _AGE["sqlite" if kind == "sqlite" else "postgres"]
        self.ftps.query(sql, prefix, prefix + "\U0010ffff")

    @staticmethod
    def account(number: int) -> str:
        return ACCOUNTS[number]


def worker_of(port: int, workers: list[int]) -> int | None:
    """The worker that has the other end of a connection from a local port, which was greeted."""
    inode = None
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[2].rpartition(":")[2], 16) == port and fields[3] == "01":
            inode = f"socket:[{fields[9]}]"
    for worker in workers:
        for descriptor in Path(f"/proc/{worker}/fd").iterdir():
            with suppress(OSError):
                if str(descriptor.readlink()) == inode:
                    return worker
    return None


def runs(pid: int) -> bool:
    """Whether a process lives, and is not only waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def wait_for(done: Callable[[], bool], what: str) -> None:
    began = time.monotonic()
    while not done():
        assert time.monotonic() - began < PATIENCE, f"waited {PATIENCE:g} seconds: {what}"
        time.sleep(0.02)
