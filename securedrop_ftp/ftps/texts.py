"""Files under TYPE A: whether they are converted, and uploads on their way through that.

RFC 959 makes TYPE A the type of a session that names none (§5.1), and clients mean it: Java's
commons-net sends lines, and never says so.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

from securedrop_ftp.exceptions import ConvertedFromStart, SecureDropError, WrongType
from securedrop_ftp.ftps.logged_in import LoggedIn
from securedrop_ftp.ftps.nvt import FromNvt
from securedrop_ftp.ftps.parking import Waiter
from securedrop_ftp.intake.digest import new_digest
from securedrop_ftp.intake.receipt import Sent
from securedrop_ftp.intake.stream import UploadStream
from securedrop_ftp.models import AsciiPolicy

#: Bytes that are converted at once: Python runs nothing else for 0.3 ms meanwhile.
_CHUNK: Final = 128 * 1024
#: Where the worker's memory for reading is taken, everybody still gets this.
_SMALL: Final = 16 * 1024


def is_text(session: LoggedIn) -> bool:
    """Whether the session's type is A, and files under it are not what they are under TYPE I."""
    return session.dialogue.type_a and session.principal.ascii != AsciiPolicy.AS_SENT


def converts(session: LoggedIn) -> bool:
    """Whether the line ends of the transfer that begins are converted.

    Raises:
        WrongType: the partner's files go under TYPE I only.
        ConvertedFromStart: it would begin in the midst of a file. Where that is in the other form,
            nobody knows before the file was converted up to there.
    """
    if not is_text(session):
        return False
    if session.principal.ascii == AsciiPolicy.REFUSE:
        raise WrongType
    if session.dialogue.said.restart_at:
        raise ConvertedFromStart
    return True


class TextUpload:
    """An upload's bytes on their way from the data channel into the intake
    (:class:`securedrop_ftp.ftps.data.Sink`).

    A chunk is hashed as it came and converted in the storage pool; meanwhile nothing is read from
    this client. The loop copies the outcome into the upload's part buffer. So it holds two chunks,
    whatever the client sends.
    """

    def __init__(self, session: LoggedIn, stream: UploadStream) -> None:
        self.on_ready: Callable[[], None] | None = None
        self._session = session
        self._stream = stream
        self._partner = session.principal.partner
        self._converter = FromNvt()
        self._digest = new_digest()
        self._came = 0  # bytes
        self._job: Future[bytes] | None = None
        self._converted = memoryview(b"")  # not yet in the stream
        self._waiter: Waiter[None] | None = None
        self._chunk = self._take_memory()
        stream.on_ready = self._wake

    def _take_memory(self) -> memoryview:
        reads = self._session.runtime.reads
        size = _CHUNK
        if not reads.take(self._partner, 2 * size):
            size = _SMALL
            reads.take(self._partner, 2 * size, force=True)
        return memoryview(bytearray(size))

    @property
    def error(self) -> SecureDropError | None:
        """Why the upload cannot succeed any more."""
        return self._stream.error

    # --- receiving -------------------------------------------------------------------

    def buffer(self) -> memoryview | None:
        """Where the next bytes go; ``None`` while those before them are on their way."""
        return self._chunk if self._passed_on() else None

    def filled(self, count: int) -> None:
        """``count`` bytes came into the last :meth:`buffer`."""
        self._came += count
        self._job = self._session.runtime.storage(self._partner, self._convert, self._chunk[:count])
        self._job.add_done_callback(lambda _job: self._wake())

    def _convert(self, data: memoryview) -> bytes:
        """In the pool; one at a time."""
        self._digest.update(data)
        return self._converter.convert(data)

    def _passed_on(self) -> bool:
        """Whether the stream has all that came; it gets what it has room for."""
        if self._job is not None:
            if not self._job.done():
                return False
            job, self._job = self._job, None
            self._converted = memoryview(job.result())
        stream = self._stream
        while self._converted:
            room = stream.buffer()
            if room is None:
                break
            size = min(len(room), len(self._converted))
            room[:size] = self._converted[:size]
            stream.filled(size)
            self._converted = self._converted[size:]
        if stream.error is not None:
            self._wake()  # it was set by us, and nobody else would tell
        return not self._converted

    def _wake(self) -> None:
        """From any thread."""
        ready = self.on_ready
        if ready is not None:
            ready()

    # --- the end ---------------------------------------------------------------------

    def rest(self) -> Sent:
        """After a clean end, in the verb: wait until the stream has everything.

        Raises:
            SecureDropError: the upload failed, or was cancelled meanwhile.
        """
        self._await_passed_on()
        self._converted = memoryview(self._converter.end())
        self._await_passed_on()
        return Sent(self._came, self._digest.hexdigest())

    def _await_passed_on(self) -> None:
        soon = self._session.control.loop.call_soon_threadsafe
        while True:
            waiter: Waiter[None] = Waiter()
            self._waiter = waiter
            self.on_ready = lambda waiter=waiter: soon(waiter.set, None)
            passed_on = self._passed_on()
            if self.error is not None:
                raise self.error
            if passed_on:
                self.on_ready = None
                return
            self._session.offload.wait(waiter)

    def cancel(self, cause: SecureDropError) -> None:
        """:meth:`rest` ends with ``cause``, where it waits."""
        if self._waiter is not None:
            self._waiter.fail(cause)

    def close(self) -> None:
        """Give the memory back."""
        self._session.runtime.reads.give(self._partner, 2 * len(self._chunk))
        self.on_ready = self._stream.on_ready = None
