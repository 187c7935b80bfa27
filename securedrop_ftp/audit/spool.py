"""Audit events on disk while the database is away.

An event that is part of a ledger transaction needs no spool: without its row the act is not
acknowledged. The others (a session closed, a download done) have happened whatever the database
says; :func:`record` writes them as rows or, where that fails, as fsynced JSON lines under
``<data_dir>/audit-spool/``, one file for each process. Lines are replayed in the order they came,
as soon as the database takes rows again, and a line that was replayed before a crash could note it
is not a second row (``event_id``). A dead process's file is adopted by the next that looks.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
import uuid
from concurrent.futures import Future
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import IO, Final

from django.db import InterfaceError, OperationalError, transaction

from securedrop_ftp.ballast import drop_for
from securedrop_ftp.conf import get_conf
from securedrop_ftp.db import DatabaseWriter
from securedrop_ftp.events import Event
from securedrop_ftp.exceptions import AuditUnavailable
from securedrop_ftp.log import get_logger
from securedrop_ftp.signals import emit

logger = get_logger(__name__)

#: Lines replayed in one transaction: it holds the chain's head while it runs.
CHUNK: Final = 200

SUFFIX: Final = ".jsonl"


def _dump(event: Event) -> bytes:
    values = {name: getattr(event, name) for name in event.__slots__}
    values["time"] = event.time.isoformat()
    values["event_id"] = str(event.event_id)
    return json.dumps(values, default=str).encode("ascii") + b"\n"


def _load(line: bytes) -> Event:
    values = json.loads(line)
    values["time"] = datetime.fromisoformat(values["time"])
    values["event_id"] = uuid.UUID(values["event_id"])
    return Event(**values)


def _fsync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Spool:
    """One process's spool file. Thread-safe; its methods block on the disk."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock = threading.RLock()
        self._path = directory
        self._file: IO[bytes] | None = None
        self._done = 0  # bytes whose rows are committed
        self._sent = 0  # bytes whose rows are in a transaction

    def record(self, event: Event) -> None:
        """Append ``event``; it is on the disk when this returns.

        Raises:
            OSError: it is not.
        """
        self._append(_dump(event))

    @property
    def pending(self) -> bool:
        """Whether this process has lines to replay."""
        with self._lock:
            return self._file is not None and self._sent < self._size()

    def replay(self) -> int:
        """Write up to :data:`CHUNK` lines as rows, in their order, in the caller's transaction
        where there is one. They leave the file when it is committed; :meth:`rewind` if it is not.
        Returns how many.

        Raises:
            AuditUnavailable: the database is still away; the lines stay.
        """
        with self._lock:
            if not self.pending:
                return 0
            lines = self._lines()
            end = self._sent + sum(map(len, lines))
            with transaction.atomic():
                for line in lines:
                    self._replay_line(line)
                self._sent = end
                # Runs at once where no transaction is around us.
                transaction.on_commit(lambda: self._committed(end))
            return len(lines)

    def rewind(self) -> None:
        """Mark the lines of the last replay as not written: its transaction failed."""
        with self._lock:
            self._sent = self._done

    def adopt(self) -> int:
        """Take over the files that dead processes left. Returns how many."""
        count = 0
        for path in sorted(self.directory.glob(f"*{SUFFIX}")):
            if path != self._path:
                count += self._adopt(path)
        return count

    def close(self) -> None:
        """Release the file, and remove it where it is empty."""
        with self._lock:
            if self._file is not None:
                if self._size() == 0:
                    self._path.unlink(missing_ok=True)
                self._file.close()
                self._file = None

    def _size(self) -> int:
        return os.fstat(self._file.fileno()).st_size if self._file is not None else 0

    def _lines(self) -> list[bytes]:
        with open(self._path, "rb") as file:
            file.seek(self._sent)
            return list(islice(file, CHUNK))

    def _append(self, data: bytes) -> None:
        with self._lock:
            file = self._open()
            end = file.seek(0, os.SEEK_END)
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                os.ftruncate(file.fileno(), end)  # half a line would swallow the next one
                raise

    def _open(self) -> IO[bytes]:
        if self._file is None:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Names sort by the time of their making, so that files are adopted in that order.
            path = self.directory / f"{time.time_ns():020d}-{os.getpid()}{SUFFIX}"
            # It gets its name when it is locked: who finds it unlocked takes it for a dead one's.
            unnamed = path.with_suffix(".new")
            fd = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX)  # held for life: who gets it knows that we are dead
            unnamed.rename(path)
            # Unbuffered: what is written is with the kernel, and a failed write leaves no rest
            # in a buffer.
            self._path = path
            self._file = open(fd, "r+b", buffering=0)  # noqa: SIM115
            self._done = self._sent = 0
            _fsync_directory(self.directory)
        return self._file

    def _committed(self, end: int) -> None:
        with self._lock:
            self._done = max(self._done, end)
            if self._file is not None and self._done >= self._size():
                self._file.truncate(0)
                self._done = self._sent = 0

    def _adopt(self, path: Path) -> int:
        try:
            file = open(path, "rb")  # noqa: SIM115
        except FileNotFoundError:
            return 0
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return 0  # its process lives
            # Copied, then removed: a crash between leaves lines twice, and rows once.
            while lines := list(islice(file, CHUNK)):
                if not lines[-1].endswith(b"\n"):
                    lines[-1] += b"\n"
                self._append(b"".join(lines))
            path.unlink(missing_ok=True)
        return 1

    def _replay_line(self, line: bytes) -> None:
        try:
            event = _load(line)
        except (ValueError, TypeError, KeyError):
            # The last line of a process killed while writing: its caller never heard "recorded".
            logger.error("audit.spool_line_unreadable", length=len(line))
            return
        try:
            with transaction.atomic():
                emit(event)
        except AuditUnavailable as exc:
            if isinstance(exc.__cause__, OperationalError | InterfaceError):
                raise
            self._set_aside(line, exc)

    def _set_aside(self, line: bytes, exc: AuditUnavailable) -> None:
        # A line that no database takes must not hold up those behind it, and must not be lost.
        with open(self.directory / "rejected", "ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        logger.error("audit.event_set_aside", error=str(exc), file="audit-spool/rejected")


_spool: Spool | None = None
_spool_guard = threading.Lock()


def get_spool() -> Spool:
    """The spool of this process."""
    global _spool
    with _spool_guard:
        if _spool is None:
            _spool = Spool(get_conf().data_dir / "audit-spool")
        return _spool


def _forget_spool() -> None:
    global _spool, _spool_guard
    _spool, _spool_guard = None, threading.Lock()


# A child that shared its parent's file and lock would write over it.
os.register_at_fork(after_in_child=_forget_spool)


def record(writer: DatabaseWriter, event: Event, *, later: bool = False) -> Future[None]:
    """Make ``event`` durable: a row, or a line in the spool. Never blocks; ``later`` as in
    :meth:`DatabaseWriter.submit`.

    The future is resolved when it is; its exception, :class:`AuditUnavailable`, means that
    neither the database nor the disk took it (the event is in the log then).
    """
    recorded: Future[None] = Future()

    def finish(job: Future[None]) -> None:  # on the writer's thread
        exc = job.exception()
        if exc is None:
            recorded.set_result(None)
            return
        spool = get_spool()
        spool.rewind()
        try:
            _spool_durably(spool, event)
        except OSError as disk:
            logger.critical("audit.event_lost", audit_event=_dump(event).decode(), error=str(disk))
            recorded.set_exception(AuditUnavailable("Neither database nor spool took the event."))
        else:
            logger.warning("audit.event_spooled", audit_event=event.name, error=type(exc).__name__)
            recorded.set_result(None)

    writer.submit(lambda: _write(event), later=later).add_done_callback(finish)
    return recorded


def record_within(writer: DatabaseWriter, event: Event, seconds: float) -> None:
    """:func:`record`, and wait until it is durable. Where the writer has not come to it after
    ``seconds``, a line goes to the spool; the row that the writer writes after all is not a second
    one. Blocks.

    Raises:
        AuditUnavailable: neither the database nor the disk took it (the event is in the log).
    """
    recorded = record(writer, event)
    try:
        recorded.result(seconds)
    except TimeoutError:
        try:
            _spool_durably(get_spool(), event)
        except OSError as disk:
            # The writer has it still: a crash before its turn loses it.
            logger.critical("audit.event_late", audit_event=_dump(event).decode(), error=str(disk))
        else:
            logger.warning("audit.event_spooled", audit_event=event.name, error="TimeoutError")


class _Behind(Exception):
    """Lines wait in the spool still: this event goes behind them."""


def _spool_durably(spool: Spool, event: Event) -> None:
    try:
        spool.record(event)
    except OSError as exc:
        if not drop_for(exc):
            raise
        spool.record(event)


def _write(event: Event) -> None:
    spool = get_spool()
    if spool.pending:
        spool.replay()
        if spool.pending:
            raise _Behind
    emit(event)


def replay(writer: DatabaseWriter) -> Future[int]:
    """Write what is spooled, by this process or by dead ones, as rows; a chunk at a time until
    nothing is left or the database fails. Call it at start and every few seconds: where nothing
    is spooled it costs a directory listing. The future holds the first chunk's rows."""

    def job() -> int:
        spool = get_spool()
        spool.adopt()
        return spool.replay()

    def go_on(done: Future[int]) -> None:
        if done.exception() is not None:
            get_spool().rewind()
        elif done.result() and get_spool().pending:
            replay(writer)

    future = writer.submit(job)
    future.add_done_callback(go_on)
    return future
