"""The master: the one process of a service that stays while generations come and go.

It holds the listening socket and the shared memory, starts generations, and passes signals on. Its
process id is the service's (for systemd, for a container, for ``kill``) as long as the service
lives. It knows no setting and opens no file of ours, so that it outlives a release of the code: a
new generation is a new interpreter, started with the command that this one was started with.

A new generation serves beside the old one, on the same socket, before the old one is told to end;
where it cannot, it says why, and the old one serves on (docs/adr/0015-generations.md).
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from securedrop_ftp.exceptions import ConfigurationError
from securedrop_ftp.log import get_logger
from securedrop_ftp.server.handover import GENERATIONS, Link, Message
from securedrop_ftp.server.listener import systemd_listener
from securedrop_ftp.server.notify import Notifier
from securedrop_ftp.server.signals import SignalPipe, ended_children

logger = get_logger(__name__)

#: Seconds in which a new generation is ready, or says why it is not.
READY_WITHIN: Final = 120.0
#: One that served so long and then dies is replaced; another's end is the service's.
HEALTHY_AFTER: Final = 30.0
#: The option of the command by which a generation finds its :class:`Link`.
LINK_OPTION: Final = "--link"

_STOP: Final = (signal.SIGTERM, signal.SIGINT)


@dataclass(slots=True)
class _Running:
    """A generation, seen from the master."""

    number: int
    bank: int
    link: Link
    spawned: float = field(default_factory=time.monotonic)
    pid: int = 0
    boot: str = ""  # once it is ready
    ready: float = 0.0  # when
    refusal: str = ""  # why it does not serve, in its own words


class Master:
    """Of one service.

    Args:
        command: what starts it; a generation gets an option more.
        environment: the variables of the next generation; may raise ConfigurationError.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Callable[[], Mapping[str, str]],
    ) -> None:
        self._command, self._environment = command, environment
        self._held = systemd_listener()
        self._notifier = Notifier()
        self._running: dict[int, _Running] = {}  # by number
        self._current: _Running | None = None  # who serves
        self._starting: _Running | None = None
        self._number = 0
        self._again = False  # asked for another generation while one was starting
        self._reload = False  # SIGHUP came while nobody could take it
        self._stopping = False
        self._status = 0

    def begin(self) -> Link | None:
        """Fork the first generation, from this process as it is. Returns in both: ``None`` in the
        master, which is to :meth:`serve`, and in the generation its link."""
        self._signals = SignalPipe(*_STOP, signal.SIGHUP, signal.SIGUSR2, signal.SIGCHLD)
        ours, theirs = Link.pair()
        generation = self._add(ours)
        pid = self._signals.fork()
        if not pid:
            ours.close()
            self._close_held()
            return theirs
        theirs.close()
        self._introduce(generation, pid)
        return None

    def serve(self) -> int:
        """Until the last generation has ended; the exit status."""
        while self._running:
            self._wait()
            self._reap()
            self._give_up_late_one()
        self._signals.close()
        return self._status

    # --- events ----------------------------------------------------------------------

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._signals.fileno(), select.POLLIN)
        links = {running.link.fileno(): running for running in self._running.values()}
        for number in links:
            poll.register(number, select.POLLIN)
        ready = [number for number, _ in poll.poll(1000)]
        for number in ready:
            if number in links:
                self._listen(links[number])
        if self._signals.fileno() in ready:
            for number in self._signals.read():
                self._handle(number)

    def _listen(self, running: _Running) -> None:
        message = running.link.receive()
        if message is None:  # it has ended, or is about to: its exit status tells
            time.sleep(0.01)
        elif message.kind == "ready":
            self._take_over(running, message)
        elif message.kind == "refused":
            running.refusal = message.values["reason"]

    def _handle(self, number: int) -> None:
        if number in _STOP:
            self._stop(0)
        elif number == signal.SIGHUP:
            self._pass_reload_on()
        elif number == signal.SIGUSR2 and not self._stopping:
            self._replace()

    def _reap(self) -> None:
        for pid, code in ended_children():
            ended = next((r for r in self._running.values() if r.pid == pid), None)
            if ended is not None:
                self._ended(ended, code)

    # --- generations -----------------------------------------------------------------

    def _add(self, link: Link) -> _Running:
        self._number += 1
        taken = {running.bank for running in self._running.values()}
        # The one after the last: workers that outlived their supervisor may use theirs still.
        order = ((self._number - 1 + n) % GENERATIONS for n in range(GENERATIONS))
        running = _Running(self._number, next(bank for bank in order if bank not in taken), link)
        self._running[running.number] = self._starting = running
        return running

    def _introduce(self, running: _Running, pid: int) -> None:
        running.pid = pid
        running.link.send(
            "begin",
            self._held,
            number=running.number,
            bank=running.bank,
            master=os.getpid(),
            spawned=running.spawned,
            beside=[other.boot for other in self._running.values() if other.boot],
        )

    def _replace(self) -> None:
        """Start a generation that is to serve in the place of the one that does."""
        if self._starting is not None:
            self._again = True  # that one may have read the code before it was changed
            return
        began = time.monotonic()
        if len(self._running) >= GENERATIONS:
            self._refused(
                began,
                f"{len(self._running) - 1} earlier generations have not ended their transfers; "
                "wait for one of them.",
            )
            return
        ours, theirs = Link.pair()
        try:
            pid = self._spawn(theirs)
        except OSError as exc:
            ours.close()
            self._refused(began, f"{self._command[0]} cannot be started: {exc.strerror}.")
        except ConfigurationError as exc:  # of the environment
            ours.close()
            self._refused(began, str(exc))
        else:
            running = self._add(ours)
            running.spawned = began
            self._introduce(running, pid)
            logger.info("generation.started", generation=running.number, pid=pid)
        finally:
            theirs.close()

    def _spawn(self, link: Link) -> int:
        os.set_inheritable(link.fileno(), True)
        return os.posix_spawn(
            self._command[0],
            [*self._command, f"{LINK_OPTION}={link.fileno()}"],
            dict(self._environment()),
        )

    def _take_over(self, running: _Running, message: Message) -> None:
        """It serves: the one before it may end."""
        running.boot, running.ready = message.values["boot"], time.monotonic()
        held, self._held = self._held, message.descriptors
        for number in held.values():
            os.close(number)
        if self._stopping:
            self._close_held()
            return
        previous, self._current, self._starting = self._current, running, None
        if previous is not None:
            previous.link.send("drain")
            logger.info("generation.replaced", by=running.number, generation=previous.number)
        self._notifier.tell("READY=1", f"STATUS=Generation {running.number} serves.")
        if self._reload:
            self._pass_reload_on()
        self._go_on()

    def _ended(self, running: _Running, code: int) -> None:
        del self._running[running.number]
        self._read_last_words(running)
        running.link.close()
        if self._stopping:
            self._status = self._status or (0 if running.ready else max(code, 0))
        elif running is self._starting:
            self._not_ready(running, code)
        elif running is self._current:
            self._lost(running, code)
        self._tell_others(running, code)

    def _read_last_words(self, running: _Running) -> None:
        while not running.refusal and (message := running.link.receive()) is not None:
            if message.kind == "refused":
                running.refusal = message.values["reason"]
            for number in message.descriptors.values():
                os.close(number)

    def _not_ready(self, running: _Running, code: int) -> None:
        self._starting = None
        if self._current is not None:
            self._refused(running.spawned, running.refusal or _how_it_ended(code))
        elif not self._running:  # the first one; it has said why
            self._status = code if code > 0 else 1
        else:
            logger.error("generation.none_serves", reason=running.refusal or _how_it_ended(code))
            self._stop(1)
        self._go_on()

    def _lost(self, running: _Running, code: int) -> None:
        """Who serves has ended, and nobody asked it to through us."""
        self._current = None
        if code == 0:
            self._stop(0)
            return
        logger.error("generation.lost", generation=running.number, how=_how_it_ended(code))
        if self._starting is not None:
            return
        if time.monotonic() - running.ready < HEALTHY_AFTER:
            self._stop(1)
            return
        self._replace()
        if self._starting is None:
            self._stop(1)

    def _tell_others(self, ended: _Running, code: int) -> None:
        if self._current is not None:
            self._current.link.send("ended", bank=ended.bank, well=code == 0)

    def _refused(self, began: float, reason: str) -> None:
        logger.error("generation.refused", reason=reason)
        if self._current is not None:
            self._current.link.send("refused", reason=reason, spawned=began)
        else:
            self._stop(1)

    def _go_on(self) -> None:
        again, self._again = self._again, False
        if again and not self._stopping and self._starting is None:
            self._replace()

    def _give_up_late_one(self) -> None:
        late = self._starting
        if late is None or self._current is None:
            return
        if time.monotonic() - late.spawned > READY_WITHIN:
            late.refusal = f"It was not ready within {READY_WITHIN:.0f} seconds."
            _signal(late, signal.SIGKILL)

    # --- the service -----------------------------------------------------------------

    def _stop(self, status: int) -> None:
        if self._stopping:
            return
        self._stopping, self._status = True, status
        self._notifier.tell("STOPPING=1")
        self._close_held()  # the port is free when the last worker has closed it
        for running in self._running.values():
            _signal(running, signal.SIGTERM)

    def _pass_reload_on(self) -> None:
        self._reload = self._starting is not None  # it may have read the files already
        if self._current is not None:
            _signal(self._current, signal.SIGHUP)

    def _close_held(self) -> None:
        while self._held:
            os.close(self._held.popitem()[1])


def own_command() -> list[str]:
    """What this process was started with, for another interpreter of the same kind."""
    return [sys.executable, *sys.orig_argv[1:]]


def _signal(running: _Running, number: signal.Signals) -> None:
    try:
        os.kill(running.pid, number)
    except ProcessLookupError:
        pass


def _how_it_ended(code: int) -> str:
    if code < 0:
        return f"It was ended by {signal.Signals(-code).name}; see the log."
    return f"It ended with exit code {code}; see the log."
