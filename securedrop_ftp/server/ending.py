"""The end of a process that has nothing left to do."""

from __future__ import annotations

import atexit
import os
import sys
from typing import NoReturn


def end_process(status: int) -> NoReturn:
    """Do what is registered for the exit, and end.

    The interpreter's own end would look once more at every object of Django and of the storages'
    clients: 0.4 s of CPU for a supervisor that had nothing to do, and on a busy machine seconds of
    a stop or a restart. The kernel takes the memory back all the same.
    """
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
