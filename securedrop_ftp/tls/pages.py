"""Pages of ticket keys: what all workers of a node share, so that each can resume a session that
another one made.

A *page* is a TLS context without a certificate. OpenSSL makes ticket keys with each context and
does not let us set them, but a forked process has its parent's: so the supervisor makes all pages
before the first fork, each to be used for :data:`PERIOD` seconds. One whose time has passed is
freed in every process, once no live connection was made under it.

What separates sessions under one page is their session id context (*sid*), random for each control
connection: OpenSSL resumes a session only under the sid that it was made with.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from OpenSSL import SSL

from securedrop_ftp.tls import openssl, session_cache
from securedrop_ftp.tls.contexts import build_page

#: Seconds that a page is in use for new control connections.
PERIOD: Final = 12 * 3600.0
#: How many there are: for 300 days; then the last one stays in use. 14 KiB each, which the workers
#: share.
NUMBER: Final = 600


class Pages:
    """Made before the fork; for one thread of each process."""

    def __init__(
        self,
        number: int = NUMBER,
        period: float = PERIOD,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pages: dict[int, SSL.Context] = {n: build_page() for n in range(number)}
        self._last, self._period = number - 1, period
        self._clock, self._began = clock, clock()

    @property
    def now(self) -> int:
        """The page for new control connections: the same in all processes."""
        return min(int((self._clock() - self._began) / self._period), self._last)

    @property
    def used_up(self) -> bool:
        """Whether the last page is in use, and past its time."""
        return self._clock() - self._began >= self._period * (self._last + 1)

    def drop_before(self, oldest: int | None) -> None:
        """Free the pages that nobody will need: older than that of the oldest live connection, and
        than the one before now's (another process may be about to use that)."""
        limit = self.now - 1 if oldest is None else min(self.now - 1, oldest)
        for page in [n for n in self._pages if n < limit]:
            del self._pages[page]

    def __contains__(self, page: int) -> bool:
        return page in self._pages

    def accept(
        self,
        page: int,
        sid: bytes,
        certified: SSL.Context | None,
        sock: Any,
        *,
        tls13: bool,
        lifetime: int = 0,
    ) -> SSL.Connection:
        """A server connection under the keys of ``page``; :func:`.openssl.accept_under` makes
        it."""
        return openssl.accept_under(
            self._pages[page], sid, certified, sock, tls13=tls13, lifetime=lifetime
        )

    def resuming(
        self, page: int, sid: bytes, hello: bytes, *, tls13: bool
    ) -> SSL.Connection | None:
        """The connection that resumes what ``hello`` names, by :func:`.openssl.resuming`;
        ``None`` where it cannot, or where the page is gone."""
        kept = self._pages.get(page)
        return None if kept is None else openssl.resuming(kept, sid, hello, tls13=tls13)

    def import_session(self, page: int, sid: bytes, der: bytes) -> None:
        """Put a session of another process under its page, by
        :func:`.session_cache.import_session`."""
        if page in self._pages:
            session_cache.import_session(self._pages[page], sid, der)
