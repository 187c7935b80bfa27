"""One worker process of the FTPS service: a loop, an acceptor and sessions, before the engine.

Everything here is made after the fork. The worker ends when the supervisor tells it to drain, or
when the supervisor is gone (the other end of ``life`` closes).
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Final

from django.db import connections

from securedrop_ftp import engine, replies
from securedrop_ftp.access.certificates import client_certificates_wanted
from securedrop_ftp.conf import Conf
from securedrop_ftp.engine import Engine
from securedrop_ftp.engine.identity import Identity
from securedrop_ftp.engine.live import CONTROL
from securedrop_ftp.engine.rounds import log_failure
from securedrop_ftp.ftps import verbs
from securedrop_ftp.ftps.draining import Drain
from securedrop_ftp.ftps.origin import Origin
from securedrop_ftp.ftps.session import Session
from securedrop_ftp.log import get_logger
from securedrop_ftp.server.acceptor import Acceptor
from securedrop_ftp.server.allocator import bound_allocator, spare_what_was_loaded
from securedrop_ftp.server.controlled import FtpsSession
from securedrop_ftp.server.reload import reload_settings
from securedrop_ftp.server.runtime import WorkerRuntime
from securedrop_ftp.server.shared import Shared
from securedrop_ftp.server.signals import SignalPipe
from securedrop_ftp.server.worker_metrics import WorkerMetrics
from securedrop_ftp.tls.contexts import Certificate

logger = get_logger(__name__)

assert verbs.__all__  # importing the package registers the verbs

TICK: Final = 1.0
#: A tick that comes so late shows that this process did not run, seconds.
LATE_TICK: Final = 5.0
#: How often pages of ticket keys whose time has passed are freed, seconds.
PAGE_TURN: Final = 60.0
#: Rows that may wait for the database before new connections are left with the kernel: each brings
#: two, and a crowd that comes and goes quicker than they are written would fill the memory.
MAX_WAITING: Final = 1000


class Worker(WorkerRuntime):
    """See the module's docstring."""

    def __init__(
        self,
        index: int,
        engine: Engine,
        shared: Shared,
        listener: socket.socket,
        certificate: Certificate,
        life: int,
        gate: int,
    ) -> None:
        super().__init__(engine, shared, certificate)
        self.index = index
        self.draining: Drain | None = None
        self.sessions: set[Session] = set()
        self._by_connection_id: dict[int, Session] = {}
        self._next_page_turn = 0.0
        self._next_metrics = self._next_control = time.monotonic()
        self._ticked = time.monotonic()
        self._excused = False  # the last tick judged nobody
        self._metrics = WorkerMetrics(self, index)
        self._signals = SignalPipe(signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
        self.loop.watch(self._signals.fileno(), self._signalled)
        self.loop.watch(life, self.drain)
        self.loop.watch(shared.table.bell(index), self._make_room)
        self._acceptor = Acceptor(
            self.loop,
            listener,
            shared.table,
            shared.arrivals,
            index,
            lambda: self.conf,
            self._accepted,
            overloaded=self._is_overloaded,
        )
        self.loop.watch(gate, self._acceptor.begin)

    # --- life ------------------------------------------------------------------------

    def run(self, ready: Callable[[], None]) -> None:
        """Serve until the worker is drained; ``ready`` is called once it accepts."""
        self.loop.call_every(TICK, self._tick)
        self.loop.call_soon(ready)
        self.loop.run()
        self._shut_down()

    def drain(self) -> None:
        """The service stops: accept no more; idle sessions end now, busy ones when their command
        is done."""
        limit = time.monotonic() + self.conf.drain_timeout
        if self.draining is None:
            self._begin_drain(Drain(limit, gentle=False))
        elif self.draining.gentle:
            self.draining.hasten(limit)
            self._acceptor.close()
            self._tick()

    def give_way(self) -> None:
        """The next generation serves: accept no more; sessions end when they are at rest."""
        if self.draining is None:
            limit = time.monotonic() + self.conf.replace_timeout
            self._begin_drain(Drain(limit, gentle=True))

    def _begin_drain(self, drain: Drain) -> None:
        self.draining = drain
        logger.info("worker.draining", sessions=len(self.sessions))
        if drain.gentle:
            self._acceptor.end()
        else:
            self._acceptor.close()
        self._tick()

    def _go_on_draining(self, drain: Drain, now: float) -> bool:
        """Whether this worker has ended its sessions, or has to."""
        if drain.is_over(now) or not (self.sessions or self._acceptor.waits_for_headers):
            self.loop.stop()
            return True
        if drain.cuts(now):
            for session in list(self.sessions):
                session.cut()
        return False

    def _shut_down(self) -> None:
        for session in list(self.sessions):
            session.end(replies.DRAINING, "shutdown")
            session.close()
        self.engine.close()
        self._metrics.remove()
        connections.close_all()

    def _signalled(self) -> None:
        for number in self._signals.read():
            if number == signal.SIGTERM:
                self.drain()
            elif number == signal.SIGUSR1:
                self.give_way()
            elif number == signal.SIGHUP:
                self.reload()

    def reload(self) -> None:
        """Take new settings, and a new certificate for new connections; the supervisor has
        checked both. Sessions that live keep their TLS session, and take the new limits."""
        try:
            conf, certificate = self._read_anew()
            self.contexts.take(conf, certificate)
            self.engine.reload(conf)
            self.passive.follow(conf.ftps_passive_address)
            self._take_limits(conf)
        except Exception:
            logger.exception("worker.reload_failed")
        else:
            logger.info("worker.reloaded")

    def _read_anew(self) -> tuple[Conf, Certificate]:
        conf = reload_settings()
        return conf, Certificate.load(conf.tls_cert_file, conf.tls_key_file)

    def _take_limits(self, conf: Conf) -> None:
        self.conf = conf
        for session in self.sessions:
            session.conf = conf

    # --- again and again -------------------------------------------------------------

    def _tick(self) -> None:
        now = time.monotonic()
        self.passive.check(now, self.conf.ftps_passive_lookup_interval)
        if not self._held_up(now):
            self._check_deadlines(now)
        if self.draining is not None and self._go_on_draining(self.draining, now):
            return
        self._make_room()
        if now >= self._next_page_turn:
            self._next_page_turn = now + PAGE_TURN
            self.shared.pages.drop_before(self.shared.families.oldest_page())
        if now >= self._next_metrics:
            self._next_metrics = now + self.conf.presence_interval
            log_failure(self.accounts(self._metrics.write, len(self.sessions)), "metrics")
        if now >= self._next_control:
            self._next_control = now + self.conf.control_check_interval
            self._check_client_certificates()

    def _held_up(self, now: float) -> bool:
        """Whether this process was stopped, or its machine, since the last tick: what clients did
        meanwhile waits in the kernel, so it is looked at before anybody is late. Once, not twice
        in a row."""
        late = now - self._ticked > LATE_TICK
        self._ticked = now
        self._excused = late and not self._excused
        return self._excused

    def _check_deadlines(self, now: float) -> None:
        self._acceptor.check_deadlines(now)
        for session in list(self.sessions):
            session.check_deadlines(now)
            if session.passive is not None:
                session.passive.check_deadlines(now)

    def _check_client_certificates(self) -> None:
        """Whether new handshakes ask for one; a database that is away changes nothing."""

        def take(wanted: bool) -> None:
            self.contexts.ask_client = wanted

        future = self.engine.accounts.submit(CONTROL, client_certificates_wanted)
        future.add_done_callback(
            lambda f: None if f.exception() else self.loop.call_soon_threadsafe(take, f.result())
        )
        log_failure(future, "client certificate check")

    # --- sessions come and go --------------------------------------------------------

    def _is_overloaded(self) -> bool:
        return self.engine.rows_waiting > MAX_WAITING

    def _accepted(self, sock: socket.socket, origin: Origin, connection_id: int) -> None:
        try:
            session = Session(self, sock, origin, connection_id)
        except OSError as exc:
            logger.info("connection.vanished", remote_ip=origin.client, error=str(exc))
            sock.close()
            self.shared.table.release(connection_id)
            return
        self.sessions.add(session)
        self._by_connection_id[connection_id] = session
        self.engine.live.add(FtpsSession(session, self.shared.table))
        try:
            session.greet()
        except OSError as exc:
            session.close(f"connection lost: {exc}")

    def _make_room(self) -> None:
        """Newcomers have the places of these strangers (row 64)."""
        for connection_id in self.shared.table.leaving(self.index):
            session = self._by_connection_id.get(connection_id)
            if session is not None:
                session.reply(replies.MADE_ROOM)
                session.close("made room for a newcomer: no login yet, and all places taken")

    def session_closed(self, session: Session) -> None:
        """Forget a session that has ended, and give its slot back."""
        self.sessions.discard(session)
        self.shared.table.release(session.connection_id)
        self._by_connection_id.pop(session.connection_id, None)
        self.engine.live.remove(session.id)
        self._acceptor.session_closed()
        if self.draining is not None:
            self._go_on_draining(self.draining, time.monotonic())


def worker_main(
    index: int,
    identity: Identity,
    shared: Shared,
    listener: socket.socket,
    certificate: Certificate,
    life: int,
    gate: int,
    ready: int,
) -> int:
    """The body of a worker process; its exit status."""
    bound_allocator()
    try:
        worker = Worker(index, engine.install(identity), shared, listener, certificate, life, gate)
        spare_what_was_loaded()
        worker.run(lambda: os.close(ready))  # the supervisor sees the pipe's end
    except Exception:
        logger.exception("worker.failed", worker=index)
        return 1
    return 0
