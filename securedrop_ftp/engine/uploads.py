"""An upload fed by a thread that may block: the way in for doors without a loop.

The same stream as an FTPS data channel fills, with the same buffers, budget and pool, so that
uploads of all doors share memory and storage fairly.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, wait
from types import TracebackType

from securedrop_ftp.engine.interrupted import Wakings, await_result, engine_call
from securedrop_ftp.exceptions import (
    AccessUnavailable,
    Cancelled,
    SecureDropError,
    StorageUnavailable,
)
from securedrop_ftp.intake.receipt import Receipt
from securedrop_ftp.intake.stream import UploadStream
from securedrop_ftp.log import get_logger

logger = get_logger(__name__)


class BlockingUpload:
    """Write, then commit::

        with engine.current().open_upload(request) as upload:
            for chunk in body:
                upload.write(chunk)
            receipt = upload.commit()

    Left without :meth:`commit`, by an exception or not, the upload is cancelled: suspended where
    its whole parts can be kept, else aborted. One thread writes and commits; any thread may cancel.
    """

    def __init__(
        self, stream: UploadStream, patience: float, abandoned: Callable[[UploadStream], object]
    ) -> None:
        self._stream, self._patience = stream, patience
        self._ready = Wakings()
        self._turn = threading.Lock()  # nobody cancels while bytes go into a buffer
        self._committing = False
        self._cancelled: SecureDropError | None = None
        stream.on_ready = self._ready.set
        # Where the caller forgets it: the collector may run wherever locks are held, so this one
        # only tells.
        self._forgotten = weakref.finalize(self, abandoned, stream)
        self._forgotten.atexit = False

    @property
    def upload_id(self) -> str:
        """Of the ledger row."""
        return self._stream.upload_id

    @property
    def received(self) -> int:
        """Length of the file so far, bytes. At first, where a suspended upload goes on."""
        return self._stream.received

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes of the file. Blocks while no buffer is free.

        Raises:
            SecureDropError: the upload cannot succeed any more, and is settled.
        """
        with engine_call():
            self._write(memoryview(data).cast("B"))

    def _write(self, rest: memoryview) -> None:
        while rest:
            self._ready.clear()
            with self._turn:
                taken = self._take(rest)
            rest = rest[taken:]
            if taken:
                continue
            if (cause := self._stream.error) is not None:
                self.cancel(cause)
                raise cause
            if self._cancelled is not None:
                raise self._cancelled
            if not self._ready.wait(self._patience):
                late = StorageUnavailable(f"no buffer came free within {self._patience:g} seconds")
                self.cancel(late)
                raise late

    def _take(self, data: memoryview) -> int:
        room = self._stream.buffer()
        if room is None:
            return 0
        count = min(len(room), len(data))
        room[:count] = data[:count]
        self._stream.filled(count)
        return count

    def narrow(self, limit: int | None) -> None:
        """The account's limit was changed: a lower one, bytes, holds for this upload as well."""
        with engine_call(), self._turn:
            self._stream.narrow(limit)

    def commit(self) -> Receipt:
        """The file is whole: publish it. Blocks until the outcome is known, and the ledger and the
        audit row are written.

        Raises:
            SecureDropError: it was not published; or, :class:`OutcomeUnknown`, nobody knows yet.
        """
        with engine_call():
            with self._turn:
                self._committing = self._cancelled is None
                self._forgotten.detach()
                outcome = self._stream.finish()
            return await_result(outcome)

    def cancel(self, cause: SecureDropError) -> None:
        """Give up, unless it is being committed. Blocks until the ledger is settled."""
        with engine_call():
            settled = self.give_up(cause)
            if settled is not None:
                await_result(settled)

    def give_up(self, cause: SecureDropError) -> Future[None] | None:
        """As :meth:`cancel`, without the wait for the ledger; ``None``: it is being committed."""
        with engine_call():
            with self._turn:
                if self._committing:
                    return None
                self._cancelled = self._cancelled or cause
                self._forgotten.detach()
                settled = self._stream.cancel(cause)
            self._ready.set()
            return settled

    def __enter__(self) -> BlockingUpload:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._committing or self._cancelled is not None:
            return
        if isinstance(exc, SecureDropError):
            self.cancel(exc)
        else:
            self.cancel(Cancelled(kind.__name__ if kind is not None else "it was not committed"))


class OpenUploads:
    """Those of one engine: for its end, and for callers that forget theirs."""

    def __init__(self) -> None:
        self._open: weakref.WeakSet[BlockingUpload] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._admissions: set[Future[UploadStream]] = set()  # of which nobody has the upload yet
        self.ended = False
        """Whether the service ends: nothing more is admitted."""
        self._abandoned: deque[UploadStream] = deque()

    def open(self, begin: Callable[[], Future[UploadStream]], patience: float) -> BlockingUpload:
        """Admit an upload that a thread will feed; ``patience``: seconds that it waits for a
        buffer. Blocks. :meth:`cancel_all` ends it however far its admission is.

        Raises:
            AccessUnavailable: the service ends.
        """
        with engine_call():
            with self._lock:
                if self.ended:
                    raise _shutting_down()
                admission = begin()
                self._admissions.add(admission)
            try:
                upload = self._feed(await_result(admission), patience)
            except BaseException:  # also where the wait was interrupted: nobody will feed it
                admission.add_done_callback(_cancel_orphan)
                raise
            finally:
                with self._lock:
                    self._admissions.discard(admission)
            return upload

    def _feed(self, stream: UploadStream, patience: float) -> BlockingUpload:
        upload = BlockingUpload(stream, patience, self._abandoned.append)
        with self._lock:
            if self.ended:
                raise _shutting_down()
            self._open.add(upload)
        return upload

    def cancel_abandoned(self) -> None:
        """Those that nobody can feed or commit any more. One that has ended stays as it is."""
        while self._abandoned:
            self._abandoned.popleft().cancel(Cancelled("nobody feeds it any more"))

    def cancel_all(self, patience: float) -> None:
        """The service ends: admit no more, wait at most ``patience`` seconds for admissions that
        run, and cancel every upload, whether or not its caller goes on. What is being committed
        does."""
        self.cancel_abandoned()
        with self._lock:
            self.ended = True
            uploads, admissions = list(self._open), list(self._admissions)
        wait(admissions, patience)
        for admission in admissions:
            admission.add_done_callback(_cancel_orphan)
        cause = Cancelled("the service is shutting down")
        settling = [settled for upload in uploads if (settled := upload.give_up(cause))]
        wait(settling, patience)


def _cancel_orphan(admission: Future[UploadStream]) -> None:
    if admission.exception() is None:
        admission.result().cancel(Cancelled("who asked for it is gone"))


def _shutting_down() -> AccessUnavailable:
    return AccessUnavailable("The service is shutting down.")
