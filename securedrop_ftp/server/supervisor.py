"""The supervisor of one generation: keeps its workers alive, and does nothing else.

It opens no database connection and starts no thread, so that what it forks is clean; checks,
recovery and the sweep run in short-lived children of their own. The master
(:mod:`securedrop_ftp.server.master`) tells it when the next generation serves, and that its own
workers are to end.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from securedrop_ftp.conf import Conf, from_mapping, get_conf
from securedrop_ftp.engine.identity import new_boot, of_worker
from securedrop_ftp.exceptions import ConfigurationError
from securedrop_ftp.ftps.draining import CUT_GRACE
from securedrop_ftp.log import get_logger
from securedrop_ftp.server import housekeeping
from securedrop_ftp.server.handover import Generation, Link
from securedrop_ftp.server.listener import listener_for
from securedrop_ftp.server.reload import read_settings
from securedrop_ftp.server.shared import Shared
from securedrop_ftp.server.signals import SignalPipe, ended_children
from securedrop_ftp.server.status import (
    ServiceStatus,
    refuse_full_disk,
    remove_status,
    write_status,
)
from securedrop_ftp.server.worker import worker_main
from securedrop_ftp.server.worker_metrics import remove_of_workers
from securedrop_ftp.tls.contexts import Certificate
from securedrop_ftp.tls.self_test import self_test

logger = get_logger(__name__)

BACKOFF_FIRST, BACKOFF_MAX = 0.1, 10.0
#: A worker that served so long starts again without waiting.
HEALTHY_AFTER = 30.0
PRUNE_EVERY = 3600.0
#: Seconds for the last statement of a service that stops.
GOODBYE = 3.0
#: Seconds for a worker's last acts, once its sessions have ended.
LAST_ACTS = 10.0
_TOLD_TO_STOP = "It was told to stop (SIGTERM) before it served."
#: A certificate that runs out within 30 days is in the log twice a day.
WARN_EVERY = 12 * 3600.0


@dataclass
class _Child:
    pid: int
    ready: int
    owner: str
    started: float = field(default_factory=time.monotonic)


class Supervisor:
    """One generation of the service on this machine."""

    def __init__(self, conf: Conf, link: Link, announce: Callable[[str], None]) -> None:
        self._conf = self._conf_in_force = conf
        self._link, self._announce = link, announce
        self._generation, self._inheritance = Generation.introduced(link)
        self._boot = new_boot(conf)
        self._children: dict[int, _Child] = {}  # worker index to process
        self._jobs: dict[int, str] = {}  # pid of a housekeeping child to what it does
        self._respawn: dict[int, float] = {}
        self._incarnations: dict[int, int] = {}  # of each worker
        self._failures: dict[int, int] = {}
        self._stopping = 0.0  # when workers that have not ended are killed
        self._stopped = self._replaced = self._alone = False
        self._failure = ""  # why it never served
        self._announced = False
        self._status: ServiceStatus | None = None
        self._next_prune = time.monotonic() + PRUNE_EVERY
        self._next_warning = self._next_page_turn = 0.0

    def serve(self) -> int:
        """Until SIGTERM or SIGINT, or until the next generation serves and the transfers of this
        one have ended; the exit status.

        Raises:
            ConfigurationError: nothing was served; the message says what to do.
        """
        conf = self._conf
        if self._generation.number > 1:
            refuse_full_disk(conf.data_dir)  # nobody could tell that this generation serves
        self._certificate = Certificate.load(conf.tls_cert_file, conf.tls_key_file)
        self_test()
        self._listener = listener_for(conf, self._inheritance)
        # The workers watch the read ends: the first closes with us, however we end; the other one
        # when all of them are ready, and they accept from then on.
        self._life_read, self._life_write = os.pipe()
        self._gate_read, self._gate_write = os.pipe()
        self._signals = SignalPipe(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
        problem = housekeeping.run_in_child(
            lambda: housekeeping.preflight(self._boot, self._generation.beside), self._signals
        )
        if problem is None:
            self._stop_before_it_serves()
            return 0
        if problem:
            raise ConfigurationError(problem)
        self._shared = Shared.made(conf, self._generation.bank, self._inheritance)
        self._remove_metrics_of_before()
        for index in range(conf.workers):
            self._spawn(index)
        while (self._children or not self._stopping) and not self._alone:
            self._wait()
            self._reap()
            self._respawn_due()
            self._housekeep()
        if self._alone:
            return 1
        self._give_the_name_back()
        self._signals.close()
        if self._stopped and not self._announced and not self._failure:
            self._link.send("refused", reason=_TOLD_TO_STOP)
        if self._status is not None and not self._replaced:
            remove_status(conf.data_dir, self._status)
        if self._failure:
            raise ConfigurationError(self._failure)
        return 0

    def _stop_before_it_serves(self) -> None:
        """SIGTERM or SIGINT while the checks ran. They may have written the boot's row."""
        self._give_the_name_back()
        self._signals.close()
        self._link.send("refused", reason=_TOLD_TO_STOP)

    def _remove_metrics_of_before(self) -> None:
        """Files of workers that were killed, with their supervisor."""
        generation, data_dir = self._generation, self._conf.data_dir
        own = self._shared.table.numbers_of_bank(generation.bank)
        remove_of_workers(data_dir, own if generation.beside else range(sys.maxsize))

    # --- processes -------------------------------------------------------------------

    def _fork(self, body: Callable[[], int]) -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = self._signals.fork()
        if pid:
            return pid
        status = 1
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to pass on
            self._link.close()
            os.close(self._life_write)
            self._open_gate()
            status = body()
        except BaseException:
            logger.exception("child.failed")
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _spawn(self, index: int) -> None:
        incarnation = self._incarnations.get(index, 0) + 1
        self._incarnations[index] = incarnation
        identity = of_worker(self._boot, index, incarnation)
        ready_read, ready_write = os.pipe()
        os.set_blocking(ready_read, False)

        def body() -> int:
            os.close(ready_read)
            return worker_main(
                index,
                identity,
                self._shared,
                self._listener,
                self._certificate,
                self._life_read,
                self._gate_read,
                ready_write,
            )

        pid = self._fork(body)
        os.close(ready_write)
        self._children[index] = _Child(pid, ready_read, identity.owner)
        logger.info("worker.started", worker=index, pid=pid)

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._signals.fileno(), select.POLLIN)
        poll.register(self._link.fileno(), select.POLLIN)
        for child in self._children.values():
            if child.ready >= 0:
                poll.register(child.ready, select.POLLIN)
        signalled = False
        for fd, _event in poll.poll(500):
            if fd == self._signals.fileno():
                signalled = True
                continue
            if fd == self._link.fileno():
                self._listen_to_master()
                continue
            for child in self._children.values():
                if child.ready == fd:
                    os.close(fd)
                    child.ready = -1
        if signalled:
            for number in self._signals.read():
                self._handle(number)
        self._announce_when_ready()
        if self._stopping and time.monotonic() > self._stopping:
            for child in self._children.values():
                logger.error("worker.killed", pid=child.pid)
            self._signal_workers(signal.SIGKILL)
            self._stopping = time.monotonic() + 5

    def _announce_when_ready(self) -> None:
        waiting = any(child.ready >= 0 for child in self._children.values())
        if self._announced or self._stopping or waiting or not self._children:
            return
        self._announced = True
        self._open_gate()
        host, port = self._listener.getsockname()[:2]
        self._status = ServiceStatus.of_service(
            self._generation, host, port, self._conf.workers, self._certificate.leaf
        )
        write_status(self._conf.data_dir, self._status)
        self._link.send("ready", self._inheritance.kept, boot=self._boot.id)
        shown = f"[{host}]" if ":" in host else host
        self._announce(f"ready ftps://{shown}:{port}")

    def _open_gate(self) -> None:
        """All workers accept from now on, and those that take a dead one's place at once."""
        if self._gate_write >= 0:
            os.close(self._gate_write)
            self._gate_write = -1

    def _handle(self, number: int) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            self._stop()
        elif number == signal.SIGHUP and not self._stopping:
            self._reload()

    def _listen_to_master(self) -> None:
        message = self._link.receive()
        if message is None:  # killed: we end as if we had been, and the workers drain by themselves
            self._alone = True
        elif message.kind == "drain":
            self._give_way()
        elif message.kind == "refused":
            reason, began = message.values["reason"], message.values["spawned"]
            self._note(lambda status: status.after_refused_replacement(reason, began))
        elif message.kind == "ended":
            bank = message.values["bank"]
            self._shared.table.clear_bank(bank)
            remove_of_workers(self._conf.data_dir, self._shared.table.numbers_of_bank(bank))
            if not message.values["well"]:
                self._job("recover", lambda: housekeeping.recover_generation(self._boot))

    def _stop(self) -> None:
        """Now: idle sessions end at once, transfers have ``drain_timeout``."""
        if not self._stopped:
            self._stopped = True
            self._end_workers(signal.SIGTERM, self._conf_in_force.drain_timeout)

    def _give_way(self) -> None:
        """The next generation serves: transfers have ``replace_timeout``."""
        if not self._stopping:
            self._replaced = True
            timeout = self._conf_in_force.replace_timeout
            logger.info("generation.drains", generation=self._generation.number, seconds=timeout)
            self._end_workers(signal.SIGUSR1, timeout)

    def _end_workers(self, number: signal.Signals, timeout: float) -> None:
        self._stopping = time.monotonic() + timeout + CUT_GRACE + LAST_ACTS
        self._listener.close()
        self._signal_workers(number)

    def _fail(self, reason: str) -> None:
        """It shall not serve, since another generation does."""
        if not self._failure:
            self._failure = reason
            self._stop()

    def _signal_workers(self, number: signal.Signals) -> None:
        for child in self._children.values():
            try:
                os.kill(child.pid, number)
            except ProcessLookupError:
                pass

    def _reload(self) -> None:
        """Check first, here; workers swap only what is good, and the old serves on otherwise."""
        try:
            conf, certificate = self._read_anew()
        except Exception as exc:  # a settings module may raise anything; nothing of it stops us
            reason = str(exc) or type(exc).__name__
            logger.error("service.reload_refused", reason=reason)
            self._note(lambda status: status.after_refusal(reason))
            return
        self._conf_in_force, self._certificate = conf, certificate
        self._next_warning = 0.0  # of this one
        self._note(lambda status: status.after_reload(certificate.leaf))
        get_conf.cache_clear()
        logger.info("service.reloading")
        self._signal_workers(signal.SIGHUP)

    def _read_anew(self) -> tuple[Conf, Certificate]:
        """Settings and certificate as they are on disk. Raises where they would not serve."""
        values = read_settings()
        housekeeping.refuse_bad_settings(values)
        conf = from_mapping(values)
        return conf, Certificate.load(conf.tls_cert_file, conf.tls_key_file)

    def _note(self, change: Callable[[ServiceStatus], ServiceStatus]) -> None:
        if self._status is not None and not self._replaced:
            self._status = change(self._status)
            write_status(self._conf.data_dir, self._status)

    def _reap(self) -> None:
        for pid, status in ended_children():
            if pid in self._jobs:
                what = self._jobs.pop(pid)
                if status:
                    logger.error("housekeeping.failed", job=what, status=status)
                continue
            index = next((i for i, c in self._children.items() if c.pid == pid), None)
            if index is not None:
                self._worker_ended(index, self._children.pop(index), status)

    def _worker_ended(self, index: int, child: _Child, status: int) -> None:
        if child.ready >= 0:
            os.close(child.ready)
        self._shared.table.clear_worker(index)
        self._shared.families.clear_worker(index)
        remove_of_workers(self._conf.data_dir, [self._shared.table.number_of(index)])
        if self._stopping:
            logger.info("worker.ended", worker=index, pid=child.pid)
            if status and self._replaced:
                self._job("recover", lambda: housekeeping.recover_owner(self._boot, child.owner))
            return
        if not self._announced and self._generation.number > 1:
            self._fail(f"Worker {index} ended before it was ready (status {status}); see the log.")
            return
        lived = time.monotonic() - child.started
        failures = 0 if lived > HEALTHY_AFTER else self._failures.get(index, 0) + 1
        self._failures[index] = failures
        delay = 0.0 if not failures else min(BACKOFF_FIRST * 2 ** (failures - 1), BACKOFF_MAX)
        logger.error(
            "worker.died",
            worker=index,
            pid=child.pid,
            status=status,
            seconds=round(delay, 1),
        )
        self._job("recover", lambda: housekeeping.recover_owner(self._boot, child.owner))
        self._respawn[index] = time.monotonic() + delay

    def _respawn_due(self) -> None:
        now = time.monotonic()
        for index, due in list(self._respawn.items()):
            if now >= due and not self._stopping:
                del self._respawn[index]
                self._spawn(index)

    def _housekeep(self) -> None:
        if not self._stopping and time.monotonic() >= self._next_prune:
            self._next_prune = time.monotonic() + PRUNE_EVERY
            self._job("prune", lambda: housekeeping.prune(self._boot))
        if not self._stopping and time.monotonic() >= self._next_warning:
            self._next_warning = time.monotonic() + WARN_EVERY
            housekeeping.warn_of_certificates(self._conf_in_force)
        if time.monotonic() >= self._next_page_turn:
            self._next_page_turn = time.monotonic() + PRUNE_EVERY
            self._turn_pages()

    def _turn_pages(self) -> None:
        self._shared.pages.drop_before(self._shared.families.oldest_page())
        if self._shared.pages.used_up:
            logger.warning(
                "ticket_keys.used_up",
                hint="run ftps_replace when it suits",
            )

    def _give_the_name_back(self) -> None:
        """Where the database is silent we do not wait for it: the row grows old by itself."""
        self._job("withdraw", lambda: housekeeping.withdraw(self._boot))
        deadline = time.monotonic() + GOODBYE
        while "withdraw" in self._jobs.values() and time.monotonic() < deadline:
            self._reap()
            time.sleep(0.02)
        for pid, what in self._jobs.items():
            if what == "withdraw":
                os.kill(pid, signal.SIGKILL)

    def _job(self, what: str, body: Callable[[], None]) -> None:
        def run() -> int:
            body()
            return 0

        self._jobs[self._fork(run)] = what
