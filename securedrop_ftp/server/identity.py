"""Names of writers: who holds a lease, and whether that one still lives."""

from __future__ import annotations

import os
import socket
import uuid

from securedrop_ftp.conf import Conf


def node_name(conf: Conf) -> str:
    """The machine's name among those that share the database."""
    return conf.node or socket.gethostname()


def new_boot() -> str:
    """One run of a supervisor: its pid and a random part."""
    return f"{os.getpid()}-{uuid.uuid4().hex[:8]}"


def owner_name(conf: Conf, boot: str, worker: int, generation: int) -> str:
    """``node:boot:worker.generation``: the holder of a lease. A worker that takes a dead one's
    place is another holder."""
    return f"{node_name(conf)}:{boot}:{worker}.{generation}"


def is_dead(owner: str, node: str, own_pid: int) -> bool:
    """Whether a lease's holder on this machine has certainly ended: its supervisor's process is
    gone, or its number is now ``own_pid``, which has no workers yet (a container that started
    again). A holder elsewhere, or whose number another process has taken, is left to the end of
    its lease: another service of this machine may share the database."""
    holder, _, rest = owner.partition(":")
    pid = rest.partition("-")[0]
    if holder != node or not pid.isdigit():
        return False
    if int(pid) == own_pid:
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
