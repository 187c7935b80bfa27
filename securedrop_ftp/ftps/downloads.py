"""RETR: one stat, then ranges of the very object that was seen, some of them fetched ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Final

from securedrop_ftp import replies
from securedrop_ftp.events import Event
from securedrop_ftp.exceptions import SecureDropError, SessionGone, StorageUnavailable
from securedrop_ftp.ftps import texts
from securedrop_ftp.ftps.answers import answer
from securedrop_ftp.ftps.logged_in import LoggedIn
from securedrop_ftp.ftps.nvt import to_nvt
from securedrop_ftp.intake.meaning import file_of
from securedrop_ftp.replies import Reply
from securedrop_ftp.storage.protocol import Entry

#: A download's first range is small, so that its first byte comes soon.
FIRST_RANGE = 256 * 1024


class RangeSource:
    """A file as ranges, some of them fetched ahead; the first one small. ``text``: as it travels
    under TYPE A (:mod:`securedrop_ftp.ftps.nvt`), converted in the storage pool."""

    def __init__(self, session: LoggedIn, entry: Entry, offset: int, *, text: bool = False) -> None:
        self.on_ready: Callable[[], None] | None = None
        self._session, self._entry = session, entry
        self._partner = session.principal.partner
        self._at = offset  # of the next range to ask for
        self._size = entry.size
        read = session.fs.storage.read
        self._text = text
        self._read: Callable[..., bytes] = partial(_text, read) if text else read
        self._weight = 2 if text else 1  # each byte can become two
        self._longest = _longest(session)
        self._range = min(FIRST_RANGE, self._longest)
        self._most_ahead = _most_ahead(session)
        self._ahead: deque[tuple[Future[bytes], int]] = deque()

    def next(self) -> bytes | None:
        """The next range; ``b""`` at the end, ``None`` while it is fetched.

        Raises:
            SecureDropError: storage failed.
        """
        self._fetch()
        if not self._ahead:
            return b""
        future, wanted = self._ahead[0]
        if not future.done():
            return None
        self._ahead.popleft()
        self._give_back(wanted)
        try:
            data = future.result()
        finally:
            del future  # holds the exception, whose traceback has this frame
        if not self._text:
            _whole(data, wanted)
        self._fetch()
        return data

    def _fetch(self) -> None:
        session = self._session
        while self._at < self._size and len(self._ahead) < self._most_ahead:
            length = self._room(min(self._range, self._size - self._at))
            if not length:
                return
            future: Future[bytes] = session.runtime.storage(
                self._partner, self._read, self._entry, self._at, length
            )
            self._at += length
            self._range = min(self._range * 4, self._longest)
            self._ahead.append((future, length))
            future.add_done_callback(self._arrived)

    def _room(self, length: int) -> int:
        """How much of a range may be held now; 0: wait for one that is on its way. While none is,
        it may be a part, and one small range at a time goes on whatever the others hold."""
        reads = self._session.runtime.reads
        while not reads.take(self._partner, length * self._weight):
            if self._ahead:
                return 0
            if length <= FIRST_RANGE:
                reads.take(self._partner, length * self._weight, force=True)
                break
            length = max(length // 2, FIRST_RANGE)
        return length

    def _arrived(self, _future: Future[bytes]) -> None:
        ready = self.on_ready
        if ready is not None:
            ready()

    def close(self) -> None:
        """Give back what was held for ranges that nobody will send."""
        while self._ahead:
            self._give_back(self._ahead.popleft()[1])

    def _give_back(self, length: int) -> None:
        self._session.runtime.reads.give(self._partner, length * self._weight)


def _most_ahead(session: LoggedIn) -> int:
    """How many ranges of a download are fetched before they are asked for."""
    of_storage = session.fs.storage.capabilities.reads_ahead
    return min(session.conf.read_ahead, of_storage or session.conf.read_ahead)


def _longest(session: LoggedIn) -> int:
    """How long a range of a download may become, bytes."""
    of_storage = session.fs.storage.capabilities.longest_read
    return min(session.conf.read_range, of_storage or session.conf.read_range)


def _whole(data: bytes, length: int) -> bytes:
    """Never a silently short file that looks whole."""
    if len(data) != length:
        raise StorageUnavailable("storage returned fewer bytes than the file has")
    return data


#: Bytes that are converted in one go: nobody else's Python runs meanwhile.
_AT_ONCE: Final = 64 * 1024


def _text(read: Callable[..., bytes], entry: Entry, offset: int, length: int) -> bytes:
    """A range as it travels under TYPE A. Blocking."""
    data = _whole(read(entry, offset, length), length)
    return b"".join(to_nvt(data[i : i + _AT_ONCE]) for i in range(0, length, _AT_ONCE))


def _opening(length: int, *, text: bool) -> Reply:
    """``(n bytes)`` is what clients look for: curl, wget, Python's ftplib and urllib. They take it
    for what will come, so under TYPE A there is no number."""
    if text:
        return replies.OPENING_DATA.but("Opening the data channel; LF is sent as CR LF.")
    return replies.OPENING_DATA.but(f"Opening the data channel ({length} bytes).")


def download(session: LoggedIn, path: str, offset: int) -> Reply:
    """RETR: one stat, then ranges of the very object that was seen."""
    text = texts.converts(session)
    transfer = session.transfer("Download", path)
    reply = replies.DOWNLOAD_ABORTED
    reason = ""
    size: int | None = None
    source: RangeSource | None = None
    try:
        meaning = session.runtime.intake.meaning
        meant = session.storage(meaning.finished, session.principal, path)
        path, entry = meant.path, file_of(meant)
        size = entry.size
        if offset > entry.size:
            reply = replies.BAD_OFFSET.but(f"The file has only {entry.size} bytes.")
            reason = "bad offset"
            return reply
        session.reply(_opening(entry.size - offset, text=text))
        channel = transfer.open()
        source = RangeSource(session, entry, offset, text=text)
        session.offload.wait(channel.send_all(source))
        reply = replies.TRANSFER_COMPLETE.but(f"Transfer complete; {transfer.moved} bytes.")
        return reply
    except SessionGone:
        reason = transfer.gone
        raise
    except SecureDropError as exc:
        reply, reason = answer(exc), str(exc)
        return reply
    finally:
        if source is not None:
            source.close()
        transfer.over()
        done = reply.code == replies.TRANSFER_COMPLETE.code
        session.trail.record_durably(
            Event(
                "download.completed" if done else "download.aborted",
                outcome="success" if done else "failure",
                path=path,
                size=transfer.moved,
                reason=reason,
                reply=str(reply),
                extra={"file_size": size, "offset": offset},
                details={"stored_size": size, "type": "A"} if text else None,
            )
        )
