"""One worker process: a loop, two pools, a database writer, and the sessions.

Everything here is made after the fork. The worker ends when the supervisor tells it to drain, or
when the supervisor is gone (the other end of ``life`` closes).
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final

from django.db import connections
from OpenSSL import SSL

from securedrop_ftp import audit, ballast, replies
from securedrop_ftp.access.certificates import client_certificates_wanted
from securedrop_ftp.access.live import Standing, standings
from securedrop_ftp.access.principal import Principal
from securedrop_ftp.conf import Conf, get_conf
from securedrop_ftp.db import DatabaseWriter, check_connections, limit_statements
from securedrop_ftp.events import Event
from securedrop_ftp.ftps import verbs
from securedrop_ftp.ftps.downloads import ReadBudget
from securedrop_ftp.ftps.handshakes import HandshakeBudget
from securedrop_ftp.ftps.kinship import Kinship
from securedrop_ftp.ftps.origin import Origin
from securedrop_ftp.ftps.runtime import Refused
from securedrop_ftp.ftps.session import Session
from securedrop_ftp.intake.locations import heed_adoptions, located_backend
from securedrop_ftp.intake.owners import Boot
from securedrop_ftp.intake.service import Intake
from securedrop_ftp.log import get_logger
from securedrop_ftp.metrics import metrics
from securedrop_ftp.refusals import refusals
from securedrop_ftp.server import passive_address, presence
from securedrop_ftp.server.acceptor import Acceptor
from securedrop_ftp.server.allocator import bound_allocator
from securedrop_ftp.server.connections import ConnectionTable
from securedrop_ftp.server.families import Families
from securedrop_ftp.server.heartbeat import Heartbeat
from securedrop_ftp.server.identity import node_name
from securedrop_ftp.server.loop import Loop
from securedrop_ftp.server.pools import FairPool
from securedrop_ftp.server.rates import AddressRates, Place
from securedrop_ftp.server.reload import reload_settings
from securedrop_ftp.server.signals import SignalPipe
from securedrop_ftp.storage.retry import retry_counts
from securedrop_ftp.tls.contexts import Certificate, build_context, strangers_context
from securedrop_ftp.tls.pages import Pages
from securedrop_ftp.tls.profiles import PROFILES, Profile

logger = get_logger(__name__)

assert verbs.__all__  # importing the package registers the verbs

TICK = 1.0
#: A tick that comes so late shows that this process did not run, seconds.
LATE_TICK = 5.0

#: How often pages of ticket keys whose time has passed are freed, seconds.
PAGE_TURN: Final = 60.0

#: Rows that may wait for the database before new connections are left with the kernel: each brings
#: two, and a crowd that comes and goes quicker than they are written would fill the memory.
MAX_WAITING: Final = 1000

#: Live control's own queue: a crowd of logins must not keep sessions alive that may no longer be.
_CONTROL = "control"


class Worker:
    """The :class:`~securedrop_ftp.ftps.runtime.Runtime` of its sessions."""

    def __init__(
        self,
        index: int,
        owner: str,
        boot: Boot,
        listener: socket.socket,
        table: ConnectionTable,
        families: Families,
        pages: Pages,
        rates: AddressRates,
        arrivals: AddressRates,
        certificate: Certificate,
        life: int,
    ) -> None:
        self.conf: Conf = get_conf()
        self.index = index
        self.owner = owner
        self.draining = False
        self.sessions: set[Session] = set()
        self._by_slot: dict[int, Session] = {}
        self.loop = Loop()
        self._certificate = certificate
        self._for_strangers: dict[bool, SSL.Context] = {}  # made when first needed
        self._ask_client = True  # until we know that nobody wants client certificates
        self._contexts: dict[bool, tuple[tuple[Certificate, Profile, bool], SSL.Context]] = {}
        self._table, self._families, self._pages = table, families, pages
        self._rates, self._arrivals = rates, arrivals
        self._listeners: dict[int, int] = {}  # partner id to pending passive listeners
        self._drain_until = self._next_page_turn = 0.0
        self._next_heartbeat = self._next_control = self._next_presence = time.monotonic()
        self._ticked = time.monotonic()
        self._excused = False  # the last tick judged nobody
        self._presence_shown = self._publishing = self._looking_at_marks = False
        self._board = presence.Board(self.owner, node_name(self.conf))
        conf = self.conf
        self._accounts = FairPool("accounts", conf.account_threads, conf.account_threads)
        self._storage = FairPool("storage", conf.storage_threads, conf.partner_storage_jobs)
        check_connections()
        limit_statements()
        self._writer = DatabaseWriter().start()
        self._heartbeat = Heartbeat(boot).start()
        self.intake = Intake(
            conf,
            submit=self._storage.run,
            writer=self._writer,
            backend_for=located_backend,
            owner=self.owner,
        )
        self.handshakes = HandshakeBudget()
        self.kinship = Kinship(pages, families)
        self.reads = ReadBudget(conf.worker_memory // 2)
        refusals.told_by_owner = True
        self._signals = SignalPipe(signal.SIGTERM, signal.SIGHUP)
        _Watch(self.loop, self._signals.fileno(), self._signalled)
        _Watch(self.loop, life, self.drain)
        _Watch(self.loop, table.bell(index), self._make_room)
        self._passive = passive_address.watched(
            conf.data_dir, conf.ftps_passive_address, conf.ftps_passive_lookup_interval
        )
        self._acceptor = Acceptor(
            self.loop,
            listener,
            table,
            arrivals,
            index,
            lambda: self.conf,
            self._accepted,
            overloaded=lambda: self._writer.waiting > MAX_WAITING,
        )

    # --- life ------------------------------------------------------------------------

    def run(self, ready: Callable[[], None]) -> None:
        """Serve until drained."""
        self.loop.call_every(TICK, self._tick)
        self.loop.call_soon(ready)
        self.loop.run()
        self._shut_down()

    def drain(self) -> None:
        """Accept no more; idle sessions end now, busy ones when their command is done."""
        if self.draining:
            return
        self.draining = True
        self._drain_until = time.monotonic() + self.conf.drain_timeout
        logger.info("draining", sessions=len(self.sessions))
        self._acceptor.close()
        self._tick()

    def _signalled(self) -> None:
        for number in self._signals.read():
            if number == signal.SIGTERM:
                self.drain()
            elif number == signal.SIGHUP:
                self.reload()

    def reload(self) -> None:
        """Take new settings, and a new certificate for new connections; the supervisor has
        checked both. Sessions that live keep their TLS session, and take the new limits."""
        try:
            conf = reload_settings()
            self._certificate = Certificate.load(conf.tls_cert_file, conf.tls_key_file)
            self._for_strangers.clear()
            self.conf = conf
            self.intake.take_limits(conf)
            self._passive.follow(conf.ftps_passive_address)
            for session in self.sessions:
                session.conf = conf
        except Exception:
            logger.exception("reload failed; the old settings serve on")
        else:
            logger.info("reloaded")

    def _shut_down(self) -> None:
        for session in list(self.sessions):
            session.end(replies.DRAINING, "shutdown")
            session.close()
        # What the closed sessions left to do: cancelled uploads, audit rows.
        self._storage.close(self.conf.storage_timeout)
        self._accounts.close(1.0)
        self._metrics_file.unlink(missing_ok=True)
        self._tell_refusals(everything=True)
        self._writer.submit(lambda: presence.forget(self.owner))
        self._writer.close()
        self._heartbeat.stop()
        connections.close_all()

    def _tick(self) -> None:
        now = time.monotonic()
        self._passive.check(now, self.conf.ftps_passive_lookup_interval)
        if not self._held_up(now):
            self._acceptor.check_deadlines(now)
            for session in list(self.sessions):
                session.check_deadlines(now)
                if session.passive is not None:
                    session.passive.check_deadlines(now)
        self._tell_refusals()
        if self.draining and (not self.sessions or now > self._drain_until):
            self.loop.stop()
            return
        if now >= self._next_page_turn:
            self._next_page_turn = now + PAGE_TURN
            self._pages.drop_before(self._families.oldest_page())
        if now >= self._next_heartbeat:
            self._next_heartbeat = now + self.conf.lease_seconds / 3
            audit.replay(self._writer)
            _log_failure(self._accounts.submit("heartbeat", self.intake.heartbeat), "heartbeat")
            self._heed_adoptions()
        if now >= self._next_presence:
            self._next_presence = now + self.conf.presence_interval
            self._publish_presence()
            _log_failure(self._accounts.submit("metrics", self._write_metrics), "metrics")
        if now >= self._next_control:
            self._next_control = now + self.conf.control_check_interval
            self._check_sessions()
            self._check_client_certificates()

    def _held_up(self, now: float) -> bool:
        """Whether this process was stopped, or its machine, since the last tick: what clients did
        meanwhile waits in the kernel, so it is looked at before anybody is late. Once, not twice
        in a row."""
        late = now - self._ticked > LATE_TICK
        self._ticked = now
        self._excused = late and not self._excused
        return self._excused

    def _check_sessions(self) -> None:
        """Sessions whose account, partner or network may no longer end; the others go on with
        what holds now (rows 31 and 73)."""
        live = [(s, s.principal) for s in self.sessions if s.principal is not None]
        if not live:
            return

        def take(answers: list[Standing]) -> None:
            for (session, asked), standing in zip(live, answers, strict=True):
                self._settle_standing(session, asked, standing)

        asked = [(principal, session.remote_ip) for session, principal in live]
        future = self._ask_accounts(_CONTROL, standings, asked)
        future.add_done_callback(
            lambda f: None if f.exception() else self.loop.call_soon_threadsafe(take, f.result())
        )
        _log_failure(future, "session check")

    def _settle_standing(self, session: Session, asked: Principal, standing: Standing) -> None:
        now, ended = standing.principal, standing.ended
        fewer = now.max_sessions < asked.max_sessions  # who logs in is held to it already
        if fewer and self._table.is_beyond(session.slot, now.partner_id, now.max_sessions):
            ended = ended or "The partner may have fewer sessions now."
        if ended:
            session.end(replies.SESSION_ENDED, ended)
        elif session.principal is asked:
            session.become(now)

    def _publish_presence(self) -> None:
        """Show the sessions to operators, and end those that they want ended."""
        if self._publishing or (not self.sessions and not self._presence_shown):
            return
        self._publishing, self._presence_shown = True, bool(self.sessions)
        shots = [presence.snapshot(session) for session in self.sessions]
        future = self._accounts.submit("presence", self._board.publish, shots)
        future.add_done_callback(lambda _: setattr(self, "_publishing", False))
        future.add_done_callback(
            lambda f: (
                None
                if f.exception() or not f.result()
                else self.loop.call_soon_threadsafe(self._end_wanted, f.result())
            )
        )
        _log_failure(future, "presence")

    def _heed_adoptions(self) -> None:
        """See :func:`~securedrop_ftp.intake.locations.heed_adoptions`; one look at a time, however
        long storage takes."""
        if self._looking_at_marks:
            return
        self._looking_at_marks = True
        future = self._storage.submit(_CONTROL, heed_adoptions)
        future.add_done_callback(lambda _: setattr(self, "_looking_at_marks", False))
        _log_failure(future, "look at the marks of storages")

    def _write_metrics(self) -> None:
        ballast.tend()
        expiry = self._certificate.leaf.not_valid_after_utc.timestamp()
        metrics.put("securedrop_sessions", len(self.sessions))
        metrics.put("securedrop_uploads_in_progress", self.intake.live)
        metrics.put("securedrop_certificate_expiry_seconds", expiry)
        for call, count in retry_counts().items():
            metrics.put("securedrop_storage_retries_total", count, call=call)
        metrics.write(self._metrics_file, node=node_name(self.conf), worker=str(self.index))

    @property
    def _metrics_file(self) -> Path:
        return self.conf.data_dir / "metrics" / f"worker-{self.index}.prom"

    def _end_wanted(self, wanted: dict[str, str]) -> None:
        for session in list(self.sessions):
            if session.id in wanted:
                session.end(replies.SESSION_ENDED, f"ended by {wanted[session.id]}")

    def _check_client_certificates(self) -> None:
        """Whether new handshakes ask for one; a database that is away changes nothing."""

        def take(wanted: bool) -> None:
            self._ask_client = wanted

        future = self._ask_accounts(_CONTROL, client_certificates_wanted)
        future.add_done_callback(
            lambda f: None if f.exception() else self.loop.call_soon_threadsafe(take, f.result())
        )
        _log_failure(future, "client certificate check")

    # --- for sessions ----------------------------------------------------------------

    def _accepted(self, sock: socket.socket, origin: Origin, slot: int) -> None:
        try:
            session = Session(self, sock, origin, slot)
        except OSError as exc:
            logger.info("connection vanished", remote_ip=origin.client, error=str(exc))
            sock.close()
            self._table.release(slot)
            return
        self.sessions.add(session)
        self._by_slot[slot] = session
        try:
            session.greet()
        except OSError as exc:
            session.close(f"connection lost: {exc}")

    def _make_room(self) -> None:
        """Newcomers have the places of these strangers (row 64)."""
        for slot in self._table.leaving(self.index):
            session = self._by_slot.get(slot)
            if session is not None:
                session.reply(replies.MADE_ROOM)
                session.close("made room for a newcomer: no login yet, and all places taken")

    def session_closed(self, session: Session) -> None:
        """Forget it."""
        self.sessions.discard(session)
        self._table.release(session.slot)
        self._by_slot.pop(session.slot, None)
        self._acceptor.session_closed()
        if self.draining and not self.sessions:
            self.loop.stop()

    def accounts(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Run in the accounts pool."""
        return self._ask_accounts("", function, *args)

    def _ask_accounts(self, key: str, function: Callable[..., Any], *args: Any) -> Future[Any]:
        return self._accounts.submit(key, function, *args)

    def storage(self, partner: str, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Run on the partner's share of the storage pool."""
        return self._storage.submit(partner, function, *args)

    def record(self, event: Event, *, later: bool = False) -> Future[None]:
        """Into the audit trail, in order."""
        return audit.record(self._writer, event, later=later)

    def _tell_refusals(self, *, everything: bool = False) -> None:
        for event in refusals.due(everything=everything):
            self.record(event, later=True)

    @property
    def passive_address(self) -> str:
        """What PASV tells."""
        return self._passive.address

    def tls_context(self, tls13: bool) -> tuple[SSL.Context, bool]:
        """With the certificate in force, for all connections of this moment."""
        wanted = self._certificate, self._profile(tls13), self._ask_client
        known = self._contexts.get(tls13)
        if known is None or known[0] != wanted:
            certificate, profile, ask_client = wanted
            known = wanted, build_context(certificate, profile, ask_client=ask_client)
            self._contexts[tls13] = known
        return known[1], wanted[1].has_tls13

    def strangers_context(self, tls13: bool) -> SSL.Context:
        """The context for data channels that resume nothing, with the certificate in force."""
        if tls13 not in self._for_strangers:
            self._for_strangers[tls13] = strangers_context(self._certificate, self._profile(tls13))
        return self._for_strangers[tls13]

    def _profile(self, tls13: bool) -> Profile:
        profile = PROFILES[self.conf.tls_profile]
        return profile if tls13 else profile.without_tls13()

    def assign_partner(self, slot: int, partner_id: int, limit: int) -> str:
        """Across all workers."""
        return self._table.assign(slot, partner_id, limit)

    def login_begins(self, address: str) -> Place | Refused:
        """Across all workers."""
        return self._rates.take(address, self.conf.login_rate_per_ip)

    def login_ended(self, place: Any, *, good: bool) -> None:
        """A good one counts no more, and neither does the connection that brought it."""
        if good:
            self._rates.give_back(place)
            self._arrivals.forgive(place.address)
        else:
            self._rates.failed(place)

    def passive_listener_opened(self, partner_id: int, limit: int) -> bool:
        """In this worker."""
        count = self._listeners.get(partner_id, 0)
        if count >= limit:
            return False
        self._listeners[partner_id] = count + 1
        return True

    def passive_listener_closed(self, partner_id: int) -> None:
        """Taken, or given up."""
        left = self._listeners.get(partner_id, 0) - 1
        if left > 0:
            self._listeners[partner_id] = left
        else:
            self._listeners.pop(partner_id, None)


class _Watch:
    """Calls back while a descriptor is readable or hung up."""

    def __init__(self, loop: Loop, fd: int, callback: Callable[[], None]) -> None:
        self._loop, self._fileno, self._callback = loop, fd, callback
        loop.register(fd, self, loop.READ)

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def handle_read_event(self) -> None:
        self._callback()

    def handle_close(self) -> None:
        self._loop.unregister(self._fileno)
        self._callback()

    def handle_error(self) -> None:
        logger.exception("watch failed")

    def close(self) -> None:
        pass


def _log_failure(future: Future[Any], what: str) -> None:
    def done(finished: Future[Any]) -> None:
        error = finished.exception()
        if error is not None:
            logger.error(f"{what} failed", error=f"{type(error).__name__}: {error}")

    future.add_done_callback(done)


def _spare_what_was_loaded() -> None:
    """Django's and our modules stay: a full collection need not walk their objects again and
    again. (With the collector off altogether a login took 25 % less CPU, a small file 15 %.) What
    dies in a cycle waits for one all the same, so they are not rarer than every 100 000 objects."""
    gc.freeze()
    gc.set_threshold(5_000, 5, 4)


def worker_main(
    index: int,
    owner: str,
    boot: Boot,
    listener: socket.socket,
    table: ConnectionTable,
    families: Families,
    pages: Pages,
    rates: AddressRates,
    arrivals: AddressRates,
    certificate: Certificate,
    life: int,
    ready: int,
) -> int:
    """The body of a worker process; its exit status."""
    bound_allocator()
    try:
        worker = Worker(
            index, owner, boot, listener, table, families, pages, rates, arrivals, certificate, life
        )
        _spare_what_was_loaded()
        worker.run(lambda: os.close(ready))  # the supervisor sees the pipe's end
    except Exception:
        logger.exception("worker failed", worker=index)
        return 1
    return 0
