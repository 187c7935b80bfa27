"""Asking a running service for its next generation, and waiting for what comes of it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Final

from securedrop_ftp.exceptions import ConfigurationError
from securedrop_ftp.server.master import READY_WITHIN
from securedrop_ftp.server.status import ServiceStatus, read_status, refuse_full_disk

#: Seconds: one may be starting already, and ours comes after it.
PATIENCE: Final = 2 * READY_WITHIN + 10
_LOOK_EVERY: Final = 0.1


def replace_generation(data_dir: Path) -> ServiceStatus:
    """Returns the status of the new generation, which serves.

    Raises:
        ConfigurationError: it does not; the message says why, and who serves.
    """
    status = read_status(data_dir)
    if status is None:
        raise ConfigurationError(f"No service runs with the data directory {data_dir}.")
    try:
        refuse_full_disk(data_dir)  # neither generation could answer
    except ConfigurationError as exc:
        raise ConfigurationError(f"Generation {status.generation} serves on. {exc}") from exc
    asked = time.monotonic()
    try:
        os.kill(status.pid, signal.SIGUSR2)
    except OSError as exc:
        raise ConfigurationError(
            f"The service (pid {status.pid}) cannot be told: {exc.strerror}. "
            "Run this as the service's own user, or as root."
        ) from exc
    while time.monotonic() < asked + PATIENCE:
        now = read_status(data_dir)
        if now is None:
            raise ConfigurationError("The service has ended; see its log.")
        if now.spawned >= asked:
            return now
        if now.refused_spawned >= asked:
            raise ConfigurationError(
                f"Generation {now.generation} serves on: the new one does not start. "
                f"{now.replacement_refused}"
            )
        time.sleep(_LOOK_EVERY)
    raise ConfigurationError(
        f"No new generation serves after {PATIENCE:.0f} seconds; see the service's log."
    )
