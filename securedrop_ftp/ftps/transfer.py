"""What a session knows of the transfer that runs.

Enough to cancel it (ABOR, the end of the session), to see that it stalls, and to say in STAT how
far it is. The three kinds are in :mod:`~securedrop_ftp.ftps.uploads`,
:mod:`~securedrop_ftp.ftps.downloads` and :mod:`~securedrop_ftp.ftps.listings`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from securedrop_ftp import causes, replies
from securedrop_ftp.causes import Cause
from securedrop_ftp.exceptions import Cancelled
from securedrop_ftp.ftps.answers import CutShort, NoDataChannel, Stopped, answer
from securedrop_ftp.ftps.data import DataChannel
from securedrop_ftp.ftps.stall import AGED_RATE, Patience, StallClock
from securedrop_ftp.log import get_logger
from securedrop_ftp.replies import Reply

if TYPE_CHECKING:
    from securedrop_ftp.ftps.session import Session

logger = get_logger(__name__)

#: The kind of transfer that receives: STOR, STOU, APPE.
UPLOAD: Final = "Upload"


class Transfer:
    """The transfer that runs in a session."""

    def __init__(self, session: Session, kind: str, path: str) -> None:
        self.session = session
        self.kind = kind
        self.path = path
        self.moving = True  # bytes may still move; False once an upload is being committed
        self.channel: DataChannel | None = None
        self.cancelled: Cancelled | None = None
        self.gone = "the control channel closed"  # the row's reason where the session goes first
        self.on_cancel: Callable[[Cancelled], object] | None = None
        self.narrow: Callable[[int | None], object] | None = None  # an upload's limit
        self._clock = StallClock()
        self._since = time.monotonic()
        session.heed_what_waits()

    @property
    def moved(self) -> int:
        """Payload bytes so far."""
        return self.channel.moved if self.channel is not None else 0

    @property
    def trouble(self) -> Cause | None:
        """What went wrong with its data channel while it waits for one."""
        listener = self.session.passive
        return listener.trouble if listener is not None and self.channel is None else None

    def status(self) -> Reply:
        """For STAT in the middle of a transfer."""
        doing = "in progress" if self.moving else "being committed"
        return Reply(213, f"{self.kind} of {self.path}: {self.moved} bytes, {doing}.")

    def cancel(self, cause: Cancelled) -> None:
        """Ask it to stop; the verb ends with ``cause``, unless the file is being published."""
        if self.cancelled is None:
            if self.kind != UPLOAD and answer(cause) != replies.CUT:  # there was nothing to store
                cause = Stopped(replies.DOWNLOAD_ABORTED, str(cause))
            self.cancelled = cause
            if self.channel is not None:
                self.channel.fail(cause)
            elif self.session.passive is not None and self.moving:
                self.session.passive.fail(cause)
            if self.on_cancel is not None:
                self.on_cancel(cause)

    def over(self) -> None:
        """The verb is done with it: nothing of it stays open. After a good end the channel is
        closed already."""
        session = self.session
        if self.channel is not None:
            self.channel.reset()
            if self.channel.resumed:
                session.renew_tickets()
        session.bytes_before += self.moved
        session.transfer = None
        if session.passive is not None:
            session.passive.retire()
            session.passive, session.retired = None, session.passive

    def check_deadlines(self, now: float) -> None:
        """Stalls of the peer, and an operation of ours that takes too long."""
        session, channel = self.session, self.channel
        if channel is None or channel.closed or channel.waiting_for_us:
            if channel is not None:
                self._clock.excuse(now, 0 if channel.closed else channel.progress())
                if channel.moved != self._last_moved:
                    self._last_moved, self._since = channel.moved, now
            if now - self._since > session.conf.operation_timeout:
                session.end(replies.OPERATION_TIMED_OUT, "operation timed out")
            return
        self._since = now
        why = self._clock.stalled(now, channel.progress(), self._patience())
        if why:
            reply = replies.TRANSFER_ABORTED.but(f"Stalled: {why}.").because(causes.STALLED)
            channel.fail(CutShort(reply, f"stalled: {why}"))

    def _patience(self) -> Patience:
        """The partner's; a trickle that has outlived its session's age must be worth its place."""
        session, principal = self.session, self.session.principal
        assert principal is not None
        aged = session.age > session.conf.max_session_age
        rate = max(principal.min_transfer_rate, AGED_RATE if aged else 0)
        return Patience(principal.stall_window, rate)

    _last_moved = -1

    def open(self) -> DataChannel:
        """Wait for the session's data channel (inside the verb). Raises NoDataChannel."""
        session = self.session
        self._refuse_cancelled()
        listener = session.passive
        if listener is None:
            raise NoDataChannel
        try:
            channel = listener.take(uploads=self.kind == UPLOAD)
        finally:
            listener.close()
            session.passive = None
        self.channel = channel
        # The session may have gone down to PROT C meanwhile; it never may (row 9).
        try:
            require_protection(session)
        except NoDataChannel:
            channel.reset()
            raise
        self._refuse_cancelled()
        return channel

    def _refuse_cancelled(self) -> None:
        if self.cancelled is not None:
            raise self.cancelled


def require_protection(session: Session) -> None:
    """Raise unless PROT P holds (row 9)."""
    if not session.data_protected:
        raise NoDataChannel(replies.PROT_REQUIRED)


def require_data_channel(session: Session) -> None:
    """Raise unless PASV or EPSV came before."""
    require_protection(session)
    if session.passive is None:
        raise NoDataChannel(replies.NO_DATA_CHANNEL.because(causes.NO_PASSIVE_COMMAND))
