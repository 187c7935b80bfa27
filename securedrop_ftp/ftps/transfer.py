"""The three things that cross a data channel: an upload, a download, a listing.

A :class:`Transfer` is what the session knows of the one that runs: enough to cancel it (ABOR, the
end of the session), to see that it stalls, and to say in STAT how far it is.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from securedrop_ftp import replies
from securedrop_ftp.events import Event
from securedrop_ftp.exceptions import (
    Cancelled,
    SecureDropError,
    SessionGone,
    StorageUnavailable,
    Truncated,
)
from securedrop_ftp.ftps.data import DataChannel, StallClock
from securedrop_ftp.ftps.passive import NoDataChannel
from securedrop_ftp.intake.service import UploadRequest
from securedrop_ftp.log import get_logger
from securedrop_ftp.replies import Reply
from securedrop_ftp.storage.protocol import Entry

if TYPE_CHECKING:
    from securedrop_ftp.ftps.session import Session
    from securedrop_ftp.intake.stream import UploadStream

logger = get_logger(__name__)

#: A download's first range is small, so that its first byte comes soon.
FIRST_RANGE = 256 * 1024


class Transfer:
    """The transfer that runs in a session."""

    def __init__(self, session: Session, kind: str, path: str) -> None:
        self.session = session
        self.kind = kind
        self.path = path
        self.moving = True  # bytes may still move; False once an upload is being committed
        self.channel: DataChannel | None = None
        self.cancelled: Cancelled | None = None
        self.on_cancel: Callable[[Cancelled], object] | None = None
        self._clock = StallClock(session.conf.stall_window, session.conf.min_transfer_rate)
        self._since = time.monotonic()

    @property
    def moved(self) -> int:
        """Payload bytes so far."""
        return self.channel.moved if self.channel is not None else 0

    def status(self) -> Reply:
        """For STAT in the middle of a transfer."""
        doing = "in progress" if self.moving else "being committed"
        return Reply(213, f"{self.kind} of {self.path}: {self.moved} bytes, {doing}.")

    def cancel(self, cause: Cancelled) -> None:
        """Ask it to stop; the verb ends with ``cause``, unless the file is being published."""
        if self.cancelled is None:
            self.cancelled = cause
            if self.channel is not None:
                self.channel.fail(cause)
            elif self.session.passive is not None and self.moving:
                self.session.passive.fail(cause)
            if self.on_cancel is not None:
                self.on_cancel(cause)

    def over(self) -> None:
        """The verb is done with it."""
        self.session.bytes_before += self.moved
        self.session.transfer = None

    def check_deadlines(self, now: float) -> None:
        """Stalls of the peer, and an operation of ours that takes too long."""
        session, channel = self.session, self.channel
        if channel is None or channel.closed or channel.waiting_for_us:
            if channel is not None:
                self._clock.stalled(now, channel.moved, excused=True)
                if channel.moved != self._last_moved:
                    self._last_moved, self._since = channel.moved, now
            if now - self._since > session.conf.operation_timeout:
                session.end(
                    replies.TIMED_OUT.but("The operation took too long."), "operation timed out"
                )
            return
        self._since = now
        if self._clock.stalled(now, channel.moved, excused=False):
            channel.fail(
                Truncated(
                    "stalled", reply=replies.TRANSFER_ABORTED.but("Stalled; nothing was stored.")
                )
            )

    _last_moved = -1

    def open(self) -> DataChannel:
        """Wait for the session's data channel (inside the verb). Raises NoDataChannel."""
        session = self.session
        self._refuse_cancelled()
        listener = session.passive
        if listener is None:
            raise NoDataChannel
        try:
            channel = listener.take()
        finally:
            listener.close()
            session.passive = None
        self.channel = channel
        # The session may have gone down to PROT C meanwhile; it never may (row 9).
        if not session.data_protected:
            channel.reset()
            raise NoDataChannel(reply=replies.PROT_REQUIRED)
        self._refuse_cancelled()
        return channel

    def _refuse_cancelled(self) -> None:
        if self.cancelled is not None:
            raise self.cancelled


def require_data_channel(session: Session) -> None:
    """Raise unless PASV or EPSV came before."""
    if not session.data_protected:
        raise NoDataChannel(reply=replies.PROT_REQUIRED)
    if session.passive is None:
        raise NoDataChannel


# --- upload --------------------------------------------------------------------------


def upload(session: Session, path: str, *, offset: int | None, append: bool) -> Reply:
    """STOR, STOU, APPE: the data channel into the intake, then the commit, then 226."""
    principal, fs = session.principal, session.fs
    assert principal is not None
    assert fs is not None
    _require_for_upload(session, path)
    request = UploadRequest(
        principal=principal,
        session=session.id,
        remote_ip=session.remote_ip,
        path=path,
        key=fs.key(path),
        announced=session.announced,
        offset=offset,
        append=append,
    )
    session.announced = None
    transfer = session.transfer = Transfer(session, "Upload", path)
    try:
        stream = session.storage(session.runtime.intake.begin, request, orphan=_abandon)
        return _receive(session, transfer, stream)
    finally:
        if transfer.channel is not None:
            transfer.channel.reset()  # after a good end it is closed already
        transfer.over()
        _drop_passive(session)


def _require_for_upload(session: Session, path: str) -> None:
    # Nothing was begun, so the intake writes no row of it; every attempt leaves one.
    try:
        require_data_channel(session)
    except NoDataChannel as exc:
        session.record(
            Event(
                "upload.rejected",
                outcome="failure",
                path=path,
                reason="no data channel",
                reply=str(exc.reply),
            )
        )
        raise


def _abandon(stream: UploadStream) -> None:
    stream.cancel(Cancelled("the session closed"))


def _receive(session: Session, transfer: Transfer, stream: UploadStream) -> Reply:
    try:
        session.reply(replies.OPENING_DATA)
        channel = transfer.open()
        session.wait(channel.receive_all(stream))
        transfer.moving = False
        transfer.on_cancel = stream.cancel
        finished = stream.finish()
        if transfer.cancelled is not None:
            stream.cancel(transfer.cancelled)
        receipt = session.outcome(finished)
    except SessionGone:
        stream.cancel(Cancelled("the control channel closed"))
        raise
    except SecureDropError as exc:
        if transfer.channel is not None:
            transfer.channel.reset()
        session.outcome(stream.cancel(exc))
        return exc.reply
    except BaseException as exc:
        logger.exception("upload failed")
        stream.cancel(Cancelled(f"{type(exc).__name__}"))
        raise
    assert session.fs is not None
    session.fs.forget()
    session.own_files.add(receipt.path)
    return replies.TRANSFER_COMPLETE.but(receipt.reply_text)


def _drop_passive(session: Session) -> None:
    if session.passive is not None:
        session.passive.retire()
        session.passive = None


# --- download ------------------------------------------------------------------------


class RangeSource:
    """A file as ranges, some of them fetched ahead; the first one small."""

    def __init__(self, session: Session, entry: Entry, offset: int) -> None:
        self.on_ready: Callable[[], None] | None = None
        self._session, self._entry = session, entry
        self._at = offset  # of the next range to ask for
        self._size = entry.size
        self._range = min(FIRST_RANGE, session.conf.read_range)
        self._ahead: deque[tuple[Future[bytes], int]] = deque()

    def next(self) -> bytes | None:
        """See :class:`securedrop_ftp.ftps.data.Source`."""
        self._fetch()
        if not self._ahead:
            return b""
        future, wanted = self._ahead[0]
        if not future.done():
            return None
        self._ahead.popleft()
        data = future.result()
        if len(data) != wanted:
            # Never a silently short file that looks whole.
            raise StorageUnavailable("storage returned fewer bytes than the file has")
        self._fetch()
        return data

    def _fetch(self) -> None:
        session = self._session
        assert session.principal is not None
        assert session.fs is not None
        while self._at < self._size and len(self._ahead) < session.conf.read_ahead:
            length = min(self._range, self._size - self._at)
            future: Future[bytes] = session.runtime.storage(
                session.principal.partner, session.fs.storage.read, self._entry, self._at, length
            )
            self._at += length
            self._range = min(self._range * 4, session.conf.read_range)
            self._ahead.append((future, length))
            future.add_done_callback(self._arrived)

    def _arrived(self, _future: Future[bytes]) -> None:
        ready = self.on_ready
        if ready is not None:
            ready()


def download(session: Session, path: str, offset: int) -> Reply:
    """RETR: one stat, then ranges of the very object that was seen."""
    fs = session.fs
    assert fs is not None
    require_data_channel(session)
    transfer = session.transfer = Transfer(session, "Download", path)
    reply = replies.DOWNLOAD_ABORTED
    reason = ""
    size: int | None = None
    try:
        entry = fs.stat_file(path)
        size = entry.size
        if offset > entry.size:
            reply = replies.BAD_OFFSET.but(f"The file has only {entry.size} bytes.")
            reason = "bad offset"
            return reply
        session.reply(
            replies.OPENING_DATA.but(f"Opening the data channel for {entry.size - offset} bytes.")
        )
        channel = transfer.open()
        session.wait(channel.send_all(RangeSource(session, entry, offset)))
        reply = replies.TRANSFER_COMPLETE.but(f"Transfer complete; {transfer.moved} bytes.")
        return reply
    except SessionGone:
        reason = "the control channel closed"
        raise
    except SecureDropError as exc:
        reply, reason = exc.reply, str(exc)
        return reply
    finally:
        if transfer.channel is not None:
            transfer.channel.reset()
        transfer.over()
        _drop_passive(session)
        done = reply.code == replies.TRANSFER_COMPLETE.code
        session.record(
            Event(
                "download.completed" if done else "download.aborted",
                outcome="success" if done else "failure",
                path=path,
                size=transfer.moved,
                reason=reason,
                reply=str(reply),
                extra={"file_size": size, "offset": offset},
            )
        )


# --- listing -------------------------------------------------------------------------


class PageSource:
    """Lines of a directory, page by page as storage gives them; one page in memory."""

    def __init__(
        self,
        session: Session,
        pages: Iterator[list[Entry]],
        first: list[Entry] | None,
        render: Callable[[Iterable[Entry]], bytes],
    ) -> None:
        self.on_ready: Callable[[], None] | None = None
        self._session, self._pages, self._render = session, pages, render
        self._first = first
        self._future: Future[list[Entry] | None] | None = None
        self._ended = first is None

    def next(self) -> bytes | None:
        """See :class:`securedrop_ftp.ftps.data.Source`."""
        while True:
            page = self._page()
            if page is None:
                return b"" if self._ended else None
            text = self._render(page)
            if text:
                return text

    def _page(self) -> list[Entry] | None:
        if self._first is not None:
            first, self._first = self._first, None
            self._ask()
            return first
        if self._ended or self._future is None or not self._future.done():
            return None
        page = self._future.result()
        if page is None:
            self._ended = True
            return None
        self._ask()
        return page

    def _ask(self) -> None:
        session = self._session
        assert session.principal is not None
        self._future = session.runtime.storage(session.principal.partner, next_page, self._pages)
        self._future.add_done_callback(self._arrived)

    def _arrived(self, _future: Future[Any]) -> None:
        ready = self.on_ready
        if ready is not None:
            ready()


def next_page(pages: Iterator[list[Entry]]) -> list[Entry] | None:
    """The next page that holds anything, ``None`` at the end; blocking. A backend may give an
    empty page before it knows that there is no such directory."""
    return next(filter(None, pages), None)


def first_page(pages: Iterator[list[Entry]]) -> list[Entry]:
    """The first page, empty where there is none; blocking."""
    return next_page(pages) or []


def send_listing(
    session: Session,
    path: str,
    pages: Iterator[list[Entry]],
    render: Callable[[Iterable[Entry]], bytes],
) -> Reply:
    """LIST, NLST, MLSD. The first page is fetched before 150: a missing directory is 550."""
    require_data_channel(session)
    transfer = session.transfer = Transfer(session, "Listing", path)
    try:
        first = session.storage(next_page, pages)
        session.reply(replies.OPENING_DATA)
        channel = transfer.open()
        session.wait(channel.send_all(PageSource(session, pages, first, render)))
    finally:
        if transfer.channel is not None:
            transfer.channel.reset()
        transfer.over()
        _drop_passive(session)
    return replies.TRANSFER_COMPLETE
