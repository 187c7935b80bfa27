"""The engine: all that stands behind the doors of one process.

Pools, the database writer, the intake, memory budgets, the heartbeat, live control and the rounds
that keep leases, are made together after the fork and closed together. A door asks for what it
needs (:attr:`Engine.intake`, :meth:`Engine.record`, …); the first who asks starts the engine. It
speaks no protocol, and has neither loop nor greenlet.
"""

from __future__ import annotations

import os
import queue
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from securedrop_ftp import audit
from securedrop_ftp.conf import Conf, get_conf
from securedrop_ftp.db import (
    DatabaseWriter,
    check_connections,
    limit_statements,
    share_connections,
    stop_sharing,
)
from securedrop_ftp.db.threads import thread as new_thread
from securedrop_ftp.engine import presence
from securedrop_ftp.engine.heartbeat import Heartbeat
from securedrop_ftp.engine.identity import Identity, command_owner
from securedrop_ftp.engine.interrupted import engine_call, in_engine
from securedrop_ftp.engine.live import CONTROL, LiveControl
from securedrop_ftp.engine.pools import FairPool
from securedrop_ftp.engine.reads import ReadBudget
from securedrop_ftp.engine.rounds import TICK, Round, Rounds, log_failure
from securedrop_ftp.engine.uploads import BlockingUpload, OpenUploads
from securedrop_ftp.events import Event
from securedrop_ftp.exceptions import AccessUnavailable, LedgerUnavailable
from securedrop_ftp.intake import owners
from securedrop_ftp.intake.locations import heed_adoptions, located_backend
from securedrop_ftp.intake.recovery import Recovery, recovery_for_command
from securedrop_ftp.intake.service import Intake, UploadRequest
from securedrop_ftp.refusals import refusals

#: Seconds that a start waits for the database to know this process.
REGISTERED_WITHIN: Final = 30.0
#: Seconds that the end waits for each thread that looks at accounts.
GOODBYE: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Parts:
    """What runs between start and close."""

    writer: DatabaseWriter
    accounts: FairPool
    storage: FairPool
    intake: Intake
    uploads: OpenUploads
    live: LiveControl
    reads: ReadBudget
    heartbeat: Heartbeat


class Engine:
    """See the module's docstring. Thread-safe.

    :meth:`start` is implied by the use of any part; :meth:`close` may be called at any time, and
    again. After a fork the parent's engine is of no use: :func:`securedrop_ftp.engine.current`
    makes the child's own.
    """

    def __init__(self, identity: Identity, conf: Conf) -> None:
        self.identity, self.conf = identity, conf
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._parts: _Parts | None = None
        self._rounds: Rounds | None = None
        self._closer: threading.Thread | None = None
        self._wish_to_close: queue.SimpleQueue[None] = queue.SimpleQueue()  # put by handlers
        self._closed = self._looking_at_marks = False

    # --- life ------------------------------------------------------------------------

    def start(self) -> Engine:
        """Start what is not started yet.

        Raises:
            LedgerUnavailable: the database does not answer; the next use tries again.
            AccessUnavailable: it was closed.
        """
        self._running()
        return self

    @property
    def started(self) -> bool:
        """Whether its threads run."""
        return self._parts is not None

    @property
    def closed(self) -> bool:
        """Whether it has ended: it starts no more."""
        return self._closed

    def _running(self) -> _Parts:
        if os.getpid() != self._pid:
            raise RuntimeError("the engine of another process; after a fork ask engine.current()")
        if (parts := self._parts) is not None:
            return parts
        with engine_call(), self._lock:
            if self._closed:
                raise AccessUnavailable("The service is shutting down.")
            if self._parts is None:
                self._begin()
            return self._parts_of_now()

    def _begin(self) -> None:
        try:
            parts = self._parts = self._make()
            self._rounds = Rounds(self._each_round(parts)).start()
            self._closer = new_thread("closer", self._close_when_asked)
            self._closer.start()
        except BaseException:  # a handler raised: what runs already shall not outlive the process
            if self._parts is not None:
                self._end()
            raise

    def _parts_of_now(self) -> _Parts:
        if self._parts is None:
            raise AccessUnavailable("The service is shutting down.")
        return self._parts

    def _make(self) -> _Parts:
        conf = self.conf
        check_connections()
        limit_statements()
        share_connections(conf.database_connections)
        writer, heartbeat = DatabaseWriter().start(), Heartbeat(self.identity.boot)
        try:
            self._register(writer)
            return self._made(conf, writer, heartbeat)
        except LedgerUnavailable:
            raise
        except BaseException:  # a handler raised
            heartbeat.stop()
            self._say_goodbye(writer)
            raise

    def _made(self, conf: Conf, writer: DatabaseWriter, heartbeat: Heartbeat) -> _Parts:
        accounts = FairPool("accounts", conf.account_threads, conf.account_threads)
        storage = FairPool("storage", conf.storage_threads, conf.partner_storage_jobs)
        intake = Intake(
            conf,
            submit=storage.run,
            writer=writer,
            backend_for=located_backend,
            owner=self.identity.owner,
        )
        board = presence.Board(self.identity.owner, self.identity.boot.node)
        refusals.told_by_owner = True
        return _Parts(
            writer,
            accounts,
            storage,
            intake,
            OpenUploads(),
            LiveControl(accounts, board),
            ReadBudget(conf.worker_memory // 2),
            heartbeat.start(),
        )

    def _register(self, writer: DatabaseWriter) -> None:
        """On the writer's own connection: the caller may be in a transaction of its own."""
        if not self.identity.alone:
            return
        try:
            writer.call(partial(owners.register, self.identity.boot), REGISTERED_WITHIN)
        except Exception as exc:
            writer.close()
            stop_sharing()
            raise LedgerUnavailable("the database does not take this process's row") from exc

    def reload(self, conf: Conf) -> None:
        """Take limits and intervals as they are set now. What is held stays until it is given
        back; the number of threads stays."""
        self.conf = conf
        if (parts := self._parts) is not None:
            parts.intake.take_limits(conf)

    def close(self) -> None:
        """Finish what was begun, tell what is left to tell, and stop. What can be asked of
        storage within its deadline is waited for.

        Also for a signal's handler, wherever it interrupted the main thread. Where that is within
        a call of the engine, what the call holds is free only when the handler has ended: then
        this returns at once and the end comes by itself, at the latest at the process's exit,
        which waits for it. A handler that ends the process without an exit (:func:`os._exit`) may
        leave rows then that recovery settles, as after SIGKILL."""
        if os.getpid() != self._pid:
            return
        self._closed = True
        self._wish_to_close.put(None)
        if in_engine():
            return
        with engine_call():
            with self._lock:  # it begins no more
                closer = self._closer
            if closer is not None:
                closer.join()

    def _close_when_asked(self) -> None:
        """The body of a thread that waits for :meth:`close`: no handler can begin one safely."""
        self._wish_to_close.get()
        with self._lock:
            self._end()

    def _end(self) -> None:
        parts, self._parts = self._parts, None
        if self._rounds is not None:
            self._rounds.stop()
        if parts is not None:
            self._end_parts(parts)

    def _end_parts(self, parts: _Parts) -> None:
        parts.uploads.cancel_all(self.conf.storage_timeout)
        # What the closed sessions left to do: cancelled uploads, audit rows.
        parts.storage.close(self.conf.storage_timeout)
        parts.accounts.close(GOODBYE)
        refusals.told_by_owner = False
        _tell_refusals(parts.writer, everything=True)
        parts.writer.submit(partial(presence.forget, self.identity.owner))
        parts.heartbeat.stop()
        self._say_goodbye(parts.writer)

    def _say_goodbye(self, writer: DatabaseWriter) -> None:
        if self.identity.alone:
            writer.submit(partial(owners.withdraw, self.identity.boot))
        writer.close()
        stop_sharing()

    # --- for doors -------------------------------------------------------------------

    @property
    def intake(self) -> Intake:
        """The way in for uploads."""
        return self._running().intake

    def open_upload(self, request: UploadRequest) -> BlockingUpload:
        """Admit an upload that a thread will feed. Blocks.

        Raises:
            SecureDropError: refused; the audit row is written.
        """
        parts = self._running()
        begin = partial(
            parts.storage.submit, request.principal.partner, parts.intake.begin, request
        )
        return parts.uploads.open(begin, self.conf.operation_timeout)

    @property
    def accounts(self) -> FairPool:
        """Threads for what may wait for the database, or hashes passwords."""
        return self._running().accounts

    @property
    def storage(self) -> FairPool:
        """Threads for what may wait for storage; its keys are partners' names."""
        return self._running().storage

    @property
    def live(self) -> LiveControl:
        """Sessions of this process."""
        return self._running().live

    @property
    def reads(self) -> ReadBudget:
        """The memory that downloads may take."""
        return self._running().reads

    @property
    def rows_waiting(self) -> int:
        """Database jobs that are not begun yet."""
        return self._running().writer.waiting

    def record(self, event: Event, *, later: bool = False) -> Future[None]:
        """Into the audit trail, in order; see :func:`securedrop_ftp.audit.record`."""
        with engine_call():
            return audit.record(self._running().writer, event, later=later)

    def recovery(self) -> Recovery:
        """What settles uploads of dead writers; for commands: it starts no thread, and writes on
        the caller's own connection."""
        conf = get_conf()
        return recovery_for_command(conf, command_owner(conf))

    # --- again and again -------------------------------------------------------------

    def _each_round(self, parts: _Parts) -> list[Round]:
        return [
            Round("leases", self._third_of_a_lease, partial(_keep_leases, parts)),
            Round("marks", self._third_of_a_lease, partial(self._heed_adoptions, parts)),
            Round("presence", lambda: self.conf.presence_interval, parts.live.publish),
            Round("control", lambda: self.conf.control_check_interval, parts.live.check),
            Round("abandoned", lambda: TICK, parts.uploads.cancel_abandoned),
            Round("refusals", lambda: TICK, partial(_tell_refusals, parts.writer)),
        ]

    def _third_of_a_lease(self) -> float:
        return self.conf.lease_seconds / 3

    def _heed_adoptions(self, parts: _Parts) -> None:
        """See :func:`~securedrop_ftp.intake.locations.heed_adoptions`; one look at a time, however
        long storage takes."""
        if self._looking_at_marks:
            return
        self._looking_at_marks = True
        future: Future[Any] = parts.storage.submit(CONTROL, heed_adoptions)
        future.add_done_callback(lambda _: setattr(self, "_looking_at_marks", False))
        log_failure(future, "look at the marks of storages")


def _keep_leases(parts: _Parts) -> None:
    audit.replay(parts.writer)
    log_failure(parts.accounts.submit("heartbeat", parts.intake.heartbeat), "heartbeat")


def _tell_refusals(writer: DatabaseWriter, *, everything: bool = False) -> None:
    for event in refusals.due(everything=everything):
        audit.record(writer, event, later=True)
