"""Passive listeners: a port that waits for one data channel, the right one.

Of the connections that come, the first is taken that resumes the TLS session of the control
connection, or, from the same address, of a sibling (:mod:`securedrop_ftp.ftps.kinship`). One from
that address that does not may be a stranger (NAT), or the client itself, which is to read why: it
is turned away in words that its kind of transfer understands, and the wait goes on for a moment.
One from elsewhere is closed as soon as it has said hello. However many are silent, the newest
connections are heard: the oldest silent one gives way. Handshakes that resume nothing have a bound
(:mod:`securedrop_ftp.ftps.handshakes`).
"""

from __future__ import annotations

import errno
import random
import socket
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from OpenSSL import SSL

from securedrop_ftp import causes, replies
from securedrop_ftp.access import network
from securedrop_ftp.causes import Cause
from securedrop_ftp.exceptions import SecureDropError
from securedrop_ftp.ftps.answers import NoDataChannel
from securedrop_ftp.ftps.channel import ConnectionLost
from securedrop_ftp.ftps.client import Account, Client
from securedrop_ftp.ftps.control import ControlChannel
from securedrop_ftp.ftps.data import DataChannel
from securedrop_ftp.ftps.header_wait import HeaderWaits
from securedrop_ftp.ftps.kinship import Standing
from securedrop_ftp.ftps.offload import Offload
from securedrop_ftp.ftps.parking import Waiter
from securedrop_ftp.ftps.proxy_protocol import Header
from securedrop_ftp.ftps.runtime import Runtime
from securedrop_ftp.log import get_logger
from securedrop_ftp.replies import Reply

logger = get_logger(__name__)

#: Candidates that may wait or shake hands at once on one port, and taken in one turn of the loop.
MAX_CANDIDATES = 32
#: The same for those that come from another address than the control connection.
MAX_FOREIGN = 8
#: How long a refused candidate leaves time for the right one, seconds.
REFUSAL_GRACE = 1.0
#: Refused candidates of a port that wait for the command that will say how to refuse them.
_EARLY = 4
#: How long a data channel waits for its session's control connection to log in, and how often it is
#: asked about, seconds.
SIBLING_PATIENCE = 2.0
SIBLING_LOOK = 0.02
#: How long a client may take to shake hands on a data channel that is no longer needed.
RETIREMENT = 2.0
_BIND_TRIES = 64


def bind_passive(control: socket.socket, ports: range) -> socket.socket:
    """A listening socket on a random port of the range, at the address that the control connection
    was made to (of a link-local one the interface, too).

    Ports are shared by all workers: a port may turn out to be taken at ``bind`` or only at
    ``listen``; then another is tried, and never one outside the range (row 26).

    Raises:
        NoDataChannel: no port is free.
    """
    host, _, *rest = control.getsockname()  # rest of an IPv6 one: flow, interface
    for port in _draw(ports):
        sock = socket.socket(control.family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if control.family == socket.AF_INET6:  # an IPv4 client's mapped address, too
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.bind((host, port, *rest))
            sock.listen(MAX_CANDIDATES)
        except OSError as exc:
            sock.close()
            if exc.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise NoDataChannel(replies.NO_PASSIVE_PORT) from exc
        else:
            return sock
    raise NoDataChannel(replies.NO_PASSIVE_PORT)


def listen(around: Surroundings) -> PassiveListener:
    """A new listener, counted for its partner.

    Raises:
        NoDataChannel: the partner has as many as it may have, or no port is free.
    """
    runtime, principal = around.runtime, around.account.principal
    limit = principal.max_passive_listeners
    if not runtime.passive_listener_opened(principal.partner_id, limit):
        raise NoDataChannel(replies.NO_PASSIVE_PORT)
    try:
        sock = bind_passive(around.control.socket, around.control.conf.passive_ports)
        return PassiveListener(around, sock)
    except BaseException:
        runtime.passive_listener_closed(principal.partner_id)
        raise


def _draw(ports: range) -> Iterator[int]:
    # A few random ports, then all of them: a crowded range still finds its last free port. One at a
    # time: shuffling a range of 10 000 takes 6 ms of the loop, and the first port is nearly always
    # free.
    for _ in range(_BIND_TRIES):
        yield random.choice(ports)
    yield from random.sample(ports, len(ports))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a listener needs of the session that it belongs to."""

    runtime: Runtime
    control: ControlChannel
    client: Client
    account: Account
    offload: Offload


class PassiveListener:
    """One pending PASV or EPSV of a session.

    Opening it counts for the partner; see :func:`listen`.
    """

    def __init__(self, around: Surroundings, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._around = around
        self._runtime, self._control = around.runtime, around.control
        self._client, self._account = around.client, around.account
        self._loop = around.control.loop
        self.socket = sock
        self.port: int = sock.getsockname()[1]
        self.closed = False
        self._fileno = sock.fileno()
        self._listening = True
        self._counted = True
        self._candidates: list[DataChannel] = []
        self._headers = HeaderWaits(
            self._loop, MAX_CANDIDATES, self._control.conf.handshake_timeout, self._header_arrived
        )
        self._ready: DataChannel | None = None
        self._waiter: Waiter[DataChannel] | None = None
        self._uploads: bool | None = None  # what the transfer does, once it waits
        self._early: deque[DataChannel] = deque()  # refused before that was known
        self._why: Reply | None = None  # the wait may be in vain: a candidate was refused
        self._refusals = 0
        self._retired = False
        self._told = False
        self._opened = around.control.owed(time.monotonic())
        self._asked = 0.0  # when the transfer said 150 and began to wait for its channel
        self._loop.register(self._fileno, self, self._loop.READ)

    # --- the loop's interface --------------------------------------------------------

    def readable(self) -> bool:
        return self._listening

    def writable(self) -> bool:
        return False

    def handle_read_event(self) -> None:
        """Accept the connections that wait, a turn's worth."""
        for _ in range(MAX_CANDIDATES):
            try:
                sock, peer = self.socket.accept()
            except OSError as exc:
                if exc.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EINTR):
                    logger.warning("passive_port.accept_failed", error=str(exc))
                    self._fail(NoDataChannel())
                return
            self._connected(sock, peer)

    def _connected(self, sock: socket.socket, peer: tuple[str, int]) -> None:
        peer_ip = network.canonical(peer[0])
        if network.within(peer_ip, self._control.conf.proxy_protocol_from):
            self._headers.add(sock, peer_ip)
        else:
            self._consider(sock, peer_ip)

    def _header_arrived(self, sock: socket.socket, balancer: str, header: Header) -> None:
        if header.client is None and self._client.origin.named:
            sock.close()  # the balancer looks whether the port is open
        else:
            self._consider(sock, header.client or balancer)

    def _consider(self, sock: socket.socket, peer_ip: str) -> None:
        """Let it speak. One that comes from another address than the control connection (address
        pairs of proxies, carriers' NAT, two ways past a balancer) must resume its very session."""
        foreign = peer_ip != self._client.remote_ip
        rivals = [channel for channel in self._candidates if channel.foreign or not foreign]
        bound = MAX_FOREIGN if foreign and not self._client.origin.named else MAX_CANDIDATES
        if len(rivals) >= bound:
            self._make_room(rivals)
        channel = DataChannel(self._loop, sock)
        channel.peer_ip, channel.foreign = peer_ip, foreign
        channel.on_ready = self._handshake_done
        channel.on_lost = self._handshake_lost
        channel.on_stranger = self._resumes_nothing
        self._candidates.append(channel)
        channel.begin(partial(self._resuming, channel), self._strangers_context)

    def _strangers_context(self) -> SSL.Context:
        """A client that does not suit TLS 1.3 gets TLS 1.2 on every channel (commons-net's uploads
        under 1.3 end without close_notify)."""
        return self._runtime.strangers_context(self._control.suits_tls13)

    def handle_write_event(self) -> None:
        pass

    def handle_close(self) -> None:
        self._fail(NoDataChannel())

    def handle_error(self) -> None:
        logger.exception("passive_port.internal_error")
        self._fail(NoDataChannel())

    # --- candidates ------------------------------------------------------------------

    def _make_room(self, rivals: list[DataChannel]) -> None:
        """One goes: of those from elsewhere first, of those that have said nothing first, and then
        the one that has waited longest."""
        oldest = min(rivals, key=lambda channel: (not channel.foreign, channel.spoke))
        self._candidates.remove(oldest)
        oldest.reset()

    def _must_resume(self, channel: DataChannel) -> bool:
        return channel.foreign or self._account.principal.require_tls_session_reuse

    def _takes_siblings(self, channel: DataChannel) -> bool:
        """From another address this very connection's session is asked for; and where none need
        be, none is looked for."""
        return not channel.foreign and self._must_resume(channel)

    def _resuming(self, channel: DataChannel, hello: list[bytes]) -> SSL.Connection | None:
        """The server side of a candidate whose ClientHello resumes a session that it may, and which
        has taken it. Who resumes this very one is never turned away for what others have spent."""
        client, kinship = self._client, self._runtime.kinship
        if client.member is None:
            return None
        siblings = self._takes_siblings(channel) and self._runtime.handshakes.allows(
            self._account.principal.partner_id, channel.peer_ip
        )
        found = kinship.resume(client.connection_id, client.member, hello, siblings=siblings)
        if found is None:
            return None
        channel.chosen, connection = found
        return connection

    def _resumes_nothing(self, channel: DataChannel, alert: bytes) -> bool:
        """Asked when a candidate's ClientHello is there, before anything is computed for it. An
        upload's handshake is done all the same: only then can it be refused gracefully."""
        if not self._must_resume(channel):
            return True
        if channel.foreign:
            self._candidates.remove(channel)
            channel.reset()
            self._refused(channel, replies.DATA_FROM_ELSEWHERE)
            return False
        budget = self._runtime.handshakes
        who = self._account.principal.partner_id, channel.peer_ip
        if not budget.allows(*who):
            self._candidates.remove(channel)
            channel.reset()
            crowd = replies.NOT_YOUR_SESSION.because(causes.TOO_MANY_HANDSHAKES)
            self._refused(channel, crowd)
            return False
        budget.spend(*who)
        if self._uploads is False:
            self._candidates.remove(channel)
            channel.refuse(alert)
            self._refused(channel, replies.NOT_YOUR_SESSION)
            return False
        return True

    def _handshake_done(self, channel: DataChannel) -> None:
        self._judge(channel, time.monotonic() + SIBLING_PATIENCE)

    def _judge(self, channel: DataChannel, until: float) -> None:
        """Whose is it? A sibling that is still logging in (several connections of one client start
        at once) has a moment to be known."""
        if channel not in self._candidates:
            return
        standing = self._standing(channel)
        if standing is Standing.LOGGING_IN and time.monotonic() < until and not self._retired:
            self._loop.call_later(SIBLING_LOOK, self._judge, channel, until)
            return
        self._candidates.remove(channel)
        if self._retired:
            channel.dismiss()
            self.close()
        elif standing is Standing.OURS:
            self._take(channel)
        else:
            self._charge_for_sibling(channel)
            self._turn_away(channel)

    def _charge_for_sibling(self, channel: DataChannel) -> None:
        """A session that turned out to be nobody's of ours: its ClientHello was not charged, and it
        had the patience of this port. Beyond the bound no siblings are looked for."""
        if channel.chosen is not None:
            partner_id = self._account.principal.partner_id
            self._runtime.handshakes.spend(partner_id, channel.peer_ip)

    def _standing(self, channel: DataChannel) -> Standing:
        if not self._must_resume(channel):
            return Standing.OURS
        client = self._client
        if not channel.resumed or client.member is None:
            return Standing.NOT_OURS
        return self._runtime.kinship.standing(
            client.connection_id,
            client.member,
            channel.chosen,
            siblings=self._takes_siblings(channel),
        )

    def _take(self, channel: DataChannel) -> None:
        self._ready = channel
        self._client.data_ip = channel.peer_ip
        channel.on_lost = self._ready_lost
        self._stop_listening()
        if self._waiter is not None:
            self._waiter.set(channel)

    def _turn_away(self, channel: DataChannel) -> None:
        if self._uploads is not None:
            channel.refuse(gracefully=self._uploads)
            self._refused(channel, replies.NOT_YOUR_SESSION)
            return
        channel.on_lost = None
        self._early.append(channel)
        if len(self._early) > _EARLY:
            self._early.popleft().reset()

    def _handshake_lost(self, channel: DataChannel, error: ConnectionLost) -> None:
        self._candidates.remove(channel)
        logger.info("data_channel.handshake_failed", port=self.port, reason=str(error))
        channel.reset()
        if channel.spoke:  # a port scan has said nothing
            self._refused(channel, replies.DATA_HANDSHAKE_FAILED)

    def _refused(self, channel: DataChannel, reply: Reply) -> None:
        """Only a candidate from an address that is the client's can have been the client: any other
        shortens nobody's wait. The right one has a moment left to come."""
        theirs = channel.peer_ip in (self._client.remote_ip, self._client.data_ip)
        if theirs or not self._told:  # a crowd from elsewhere would fill the log
            cause = reply.cause.name if reply.cause is not None else ""
            logger.warning(
                "data_channel.refused", port=self.port, peer=channel.peer_ip, cause=cause
            )
        if not theirs:
            self._told = True
            return
        self._why = reply
        self._refusals += 1
        self._loop.call_later(REFUSAL_GRACE, self._give_up, self._refusals)

    def _give_up(self, refusals: int) -> None:
        waiting = self._waiter is not None and not self.closed and self._ready is None
        if waiting and refusals == self._refusals and not self._candidates:
            self._fail(_not_come(self._why))

    def _ready_lost(self, channel: DataChannel, error: ConnectionLost) -> None:
        channel.reset()
        self._fail(NoDataChannel())

    # --- for the transfer ------------------------------------------------------------

    @property
    def trouble(self) -> Cause | None:
        """Why it has not come so far; ``None`` where nothing came at all."""
        reason = self._in_vain()
        return reason.cause if reason is not None else None

    def _in_vain(self) -> Reply | None:
        """What is known of why the right one does not come."""
        if self._why is None and any(not channel.foreign for channel in self._candidates):
            return replies.DATA_SILENT
        elsewhere = self._told or self._candidates
        return self._why or (replies.DATA_FROM_ELSEWHERE if elsewhere else None)

    def take(self, *, uploads: bool) -> DataChannel:
        """Wait for the data channel (inside a verb), over which the client ``uploads`` or is to
        get something. The listener is used up.

        Raises:
            NoDataChannel: none came in time, or none that was the client's.
        """
        if self._ready is not None and not self._ready.closed:
            channel = self._ready
        elif self.closed:
            raise NoDataChannel
        else:
            self._waiter, self._asked = Waiter(), time.monotonic()
            self._uploads = uploads
            while self._early:
                self._turn_away(self._early.popleft())
            try:
                channel = self._around.offload.wait(self._waiter)
            finally:
                self._waiter = None
        self._ready = None
        return channel

    def check_deadlines(self, now: float) -> None:
        """Called about once a second."""
        self._headers.check_deadlines(now)
        if self.closed or self._ready is not None:
            if self._ready is not None and self._overdue(now):
                self.close()
            return
        if self._overdue(now):
            self._fail(_not_come(self._in_vain()))

    def _overdue(self, now: float) -> bool:
        """Whether the client has owed its connection, or the command that is to use it, for too
        long. What its commands take us does not count, and many clients shake hands only after
        150: from then on they have the whole time."""
        owed = now - self._asked if self._asked else self._control.owed(now) - self._opened
        return owed > self._control.conf.passive_timeout

    def fail(self, error: SecureDropError) -> None:
        """End the wait from outside (ABOR, the session's end)."""
        self._fail(error)

    def _fail(self, error: SecureDropError) -> None:
        waiter = self._waiter
        self.close()
        if waiter is not None:
            waiter.fail(error)

    def _stop_listening(self) -> None:
        if self._listening:
            self._listening = False
            self._loop.unregister(self._fileno)
            self.socket.close()
            self._headers.close()
            for channel in (*self._candidates, *self._early):
                channel.reset()
            self._candidates.clear()
            self._early.clear()
            self._count_no_more()

    def _count_no_more(self) -> None:
        if self._counted:
            self._runtime.passive_listener_closed(self._account.principal.partner_id)
        self._counted = False

    def retire(self) -> None:
        """The transfer was refused before it began: end the client's connection in peace.

        Clients that shake hands only after the reply (Go's) report a reset here as a failure of its
        own, and hide the reply behind it. From now on it waits for nobody and counts for nothing: a
        session has one of these at most, the next PASV ends it.
        """
        self._retired = True
        self._count_no_more()
        while self._early:
            self._early.popleft().dismiss()
        ready, self._ready = self._ready, None
        if ready is not None:
            ready.dismiss()
            self.close()
        elif not self.closed:
            self._loop.call_later(RETIREMENT, self.close)

    def close(self) -> None:
        """Give the port back; a channel that was not taken is reset."""
        if self.closed:
            return
        self.closed = True
        self._stop_listening()
        if self._ready is not None:
            self._ready.reset()
            self._ready = None


def _not_come(why: Reply | None) -> NoDataChannel:
    return NoDataChannel(why) if why is not None else NoDataChannel()
