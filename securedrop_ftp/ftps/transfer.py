"""A session's data channels, and the transfer that runs over one.

Of a transfer enough is known to cancel it (ABOR, the end of the session), to see that it stalls,
and to say in STAT how far it is. The three kinds are in :mod:`~securedrop_ftp.ftps.uploads`,
:mod:`~securedrop_ftp.ftps.downloads` and :mod:`~securedrop_ftp.ftps.listings`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from securedrop_ftp import causes, replies
from securedrop_ftp.causes import Cause
from securedrop_ftp.exceptions import Cancelled
from securedrop_ftp.ftps.answers import CutShort, NoDataChannel, Stopped, answer
from securedrop_ftp.ftps.client import Account, Client
from securedrop_ftp.ftps.control import ControlChannel
from securedrop_ftp.ftps.data import DataChannel
from securedrop_ftp.ftps.passive import PassiveListener
from securedrop_ftp.ftps.stall import AGED_RATE, Patience, StallClock
from securedrop_ftp.replies import Reply

#: The kind of transfer that receives: STOR, STOU, APPE.
UPLOAD: Final = "Upload"


@dataclass(slots=True)
class DataSide:
    """What a session has and knows of its data channels."""

    #: PBSZ was sent (RFC 4217 §8).
    protection_size_set: bool = False
    #: PROT P holds: without it no data channel is opened (invariant 5).
    protected: bool = False
    #: EPSV ALL was sent: PASV is refused from then on (RFC 2428 §4).
    epsv_all: bool = False
    #: The port that waits for the next transfer.
    listener: PassiveListener | None = None
    #: The port of a transfer that was refused before it began; it ends the client's connection.
    retired: PassiveListener | None = None
    #: The transfer that runs.
    transfer: Transfer | None = None
    #: Payload bytes of the transfers that have ended.
    bytes_before: int = 0

    @property
    def bytes_moved(self) -> int:
        """Payload of all transfers, the running one included."""
        return self.bytes_before + (self.transfer.moved if self.transfer is not None else 0)

    def require_protection(self) -> None:
        """Raise NoDataChannel unless PROT P holds (row 9)."""
        if not self.protected:
            raise NoDataChannel(replies.PROT_REQUIRED)

    def require_channel(self) -> None:
        """Raise NoDataChannel unless PROT P holds and PASV or EPSV came before."""
        self.require_protection()
        if self.listener is None:
            raise NoDataChannel(replies.NO_DATA_CHANNEL.because(causes.NO_PASSIVE_COMMAND))

    def close_listener(self) -> None:
        """Give up the port that waits."""
        if self.listener is not None:
            self.listener.close()
        self.listener = None

    def close_listeners(self) -> None:
        """Give up every passive port of the session's."""
        self.close_listener()
        if self.retired is not None:
            self.retired.close()
        self.retired = None

    def over(self, moved: int) -> None:
        """The transfer has ended, with so many bytes; what its port still holds ends in peace."""
        self.bytes_before += moved
        self.transfer = None
        if self.listener is not None:
            self.listener.retire()
            self.listener, self.retired = None, self.listener


class Transfer:
    """The transfer that runs in a session."""

    def __init__(
        self,
        control: ControlChannel,
        client: Client,
        account: Account,
        data: DataSide,
        *,
        kind: str,
        path: str,
    ) -> None:
        self._control, self._client, self._account, self._data = control, client, account, data
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
        self._last_moved = -1
        data.transfer = self
        control.heed_what_waits()

    @property
    def moved(self) -> int:
        """Payload bytes so far."""
        return self.channel.moved if self.channel is not None else 0

    @property
    def trouble(self) -> Cause | None:
        """What went wrong with its data channel while it waits for one."""
        listener = self._data.listener
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
            elif self._data.listener is not None and self.moving:
                self._data.listener.fail(cause)
            if self.on_cancel is not None:
                self.on_cancel(cause)

    def over(self) -> None:
        """The verb is done with it: nothing of it stays open. After a good end the channel is
        closed already."""
        if self.channel is not None:
            self.channel.reset()
            if self.channel.resumed:
                self._control.renew_tickets()
        self._data.over(self.moved)
        # An exception that was raised has a traceback, and that has the frames that know of this.
        self.cancelled = self.on_cancel = self.narrow = None

    def check_deadlines(self, now: float) -> None:
        """Stalls of the peer, and an operation of ours that takes too long."""
        control, channel = self._control, self.channel
        if channel is None or channel.closed or channel.waiting_for_us:
            if channel is not None:
                self._clock.excuse(now, 0 if channel.closed else channel.progress())
                if channel.moved != self._last_moved:
                    self._last_moved, self._since = channel.moved, now
            if now - self._since > control.conf.operation_timeout:
                control.end(replies.OPERATION_TIMED_OUT, "operation timed out")
            return
        self._since = now
        why = self._clock.stalled(now, channel.progress(), self._patience())
        if why:
            reply = replies.TRANSFER_ABORTED.but(f"Stalled: {why}.").because(causes.STALLED)
            channel.fail(CutShort(reply, f"stalled: {why}"))

    def _patience(self) -> Patience:
        """The partner's; a trickle that has outlived its session's age must be worth its place."""
        principal = self._account.principal
        aged = self._client.age > self._control.conf.max_session_age
        rate = max(principal.min_transfer_rate, AGED_RATE if aged else 0)
        return Patience(principal.stall_window, rate)

    def open(self) -> DataChannel:
        """Wait for the session's data channel (inside the verb). Raises NoDataChannel."""
        self._refuse_cancelled()
        listener = self._data.listener
        if listener is None:
            raise NoDataChannel
        try:
            channel = listener.take(uploads=self.kind == UPLOAD)
        finally:
            listener.close()
            self._data.listener = None
        self.channel = channel
        # The session may have gone down to PROT C meanwhile; it never may (row 9).
        try:
            self._data.require_protection()
        except NoDataChannel:
            channel.reset()
            raise
        self._refuse_cancelled()
        return channel

    def _refuse_cancelled(self) -> None:
        if self.cancelled is not None:
            raise self.cancelled
