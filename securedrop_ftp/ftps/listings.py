"""LIST, NLST, MLSD: pages of a directory, sent as storage gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any

from securedrop_ftp import replies
from securedrop_ftp.ftps.logged_in import LoggedIn
from securedrop_ftp.replies import Reply
from securedrop_ftp.storage.protocol import Entry


class PageSource:
    """Lines of a directory, page by page as storage gives them; one page in memory."""

    def __init__(
        self,
        session: LoggedIn,
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
        """The lines of the next page; ``b""`` at the end, ``None`` while it is fetched.

        Raises:
            SecureDropError: storage failed.
        """
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
        future, self._future = self._future, None
        try:
            page = future.result()
        finally:
            del future  # holds the exception, whose traceback has this frame
        if page is None:
            self._ended = True
            return None
        self._ask()
        return page

    def _ask(self) -> None:
        session = self._session
        future = session.runtime.storage(session.principal.partner, next_page, self._pages)
        self._future = future
        future.add_done_callback(self._arrived)

    def _arrived(self, _future: Future[Any]) -> None:
        ready = self.on_ready
        if ready is not None:
            ready()

    def close(self) -> None:
        """Wait no more for the page that is fetched ahead, which would tell this of itself."""
        self._future = None


def next_page(pages: Iterator[list[Entry]]) -> list[Entry] | None:
    """The next page that holds anything, ``None`` at the end; blocking. A backend may give an
    empty page before it knows that there is no such directory."""
    return next(filter(None, pages), None)


def first_page(pages: Iterator[list[Entry]]) -> list[Entry]:
    """The first page, empty where there is none; blocking."""
    return next_page(pages) or []


def send_listing(
    session: LoggedIn,
    path: str,
    pages: Iterator[list[Entry]],
    render: Callable[[Iterable[Entry]], bytes],
) -> Reply:
    """LIST, NLST, MLSD. The first page is fetched before 150: a missing directory is 550."""
    transfer = session.transfer("Listing", path)
    source: PageSource | None = None
    try:
        first = session.storage(next_page, pages)
        session.reply(replies.OPENING_DATA)
        channel = transfer.open()
        source = PageSource(session, pages, first, render)
        session.offload.wait(channel.send_all(source))
    finally:
        if source is not None:
            source.close()
        transfer.over()
    return replies.TRANSFER_COMPLETE
