"""This service's beat in the database, and its claim to its node's name."""

from __future__ import annotations

import threading
import time
from collections.abc import Container
from types import TracebackType

from securedrop_ftp.db import outside_forks, renewed_connections
from securedrop_ftp.db.threads import thread as new_thread
from securedrop_ftp.exceptions import ConfigurationError
from securedrop_ftp.intake import owners
from securedrop_ftp.intake.owners import BEAT_EVERY, Boot
from securedrop_ftp.log import get_logger
from securedrop_ftp.models import ServiceBoot

logger = get_logger(__name__)


class Heartbeat:
    """A thread and a connection of its own: whatever else waits, a live process is not taken for
    dead. A context manager, or :meth:`start` and :meth:`stop`."""

    def __init__(self, boot: Boot) -> None:
        self._boot = boot
        self._ended = threading.Event()
        self._thread = new_thread("heartbeat", self._run, own_connection=True)

    def start(self) -> Heartbeat:
        """Beat from now on."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Beat no more; waits for one that is under way. Also where it was not started."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join(BEAT_EVERY)

    def __enter__(self) -> Heartbeat:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _run(self) -> None:
        while True:
            try:
                with outside_forks(), renewed_connections():
                    owners.beat(self._boot)
            except Exception as exc:
                logger.warning("heartbeat.failed", error=f"{type(exc).__name__}: {exc}")
            if self._ended.wait(BEAT_EVERY):
                break


def claim_name(boot: Boot, beside: Container[str] = ()) -> None:
    """Be the one service of this name, but for the boots ``beside`` this one, of its own
    generations. A namesake that was just killed elsewhere is waited for until it is dead; one that
    lives is told by its next beat.

    Raises:
        ConfigurationError: another process serves under the name.
    """
    owners.register(boot)
    _outlast_namesakes(boot, beside)


def _outlast_namesakes(boot: Boot, beside: Container[str]) -> None:
    first = _rivals(boot, beside)
    while rivals := _rivals(boot, beside):
        for rival in rivals.values():
            seen = first.setdefault(rival.pk, rival)
            if rival.beat > seen.beat:
                owners.withdraw(boot)
                raise ConfigurationError(
                    f"Another “{boot.service}” service runs as node “{boot.node}” on this "
                    f"database (pid {rival.pid}). Give each node a name of its own in "
                    "SECUREDROP_NODE."
                )
        time.sleep(0.5)


def _rivals(boot: Boot, beside: Container[str]) -> dict[str, ServiceBoot]:
    """Services that live, have our name and are not ours."""
    return {pk: row for pk, row in owners.namesakes(boot).items() if pk not in beside}
