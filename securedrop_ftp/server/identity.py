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
