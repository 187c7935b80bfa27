"""This process's names: node, boot, writer."""

from __future__ import annotations

import os
import socket
import uuid

from securedrop_ftp.conf import Conf
from securedrop_ftp.intake.owners import COMMAND, FTPS, Boot


def node_name(conf: Conf) -> str:
    """The machine's name among those that share the database."""
    return conf.node or socket.gethostname()


def new_boot(conf: Conf) -> Boot:
    """One run of this service: its pid and a random part."""
    return Boot.of_this_process(_new_id(), node_name(conf), FTPS)


def command_owner(conf: Conf) -> str:
    """The writer that a command is, while it settles something."""
    return Boot.of_this_process(_new_id(), node_name(conf), COMMAND).writer("0.0")


def owner_name(boot: Boot, worker: int, generation: int) -> str:
    """The holder of a worker's leases. A worker that takes a dead one's place is another."""
    return boot.writer(f"{worker}.{generation}")


def _new_id() -> str:
    return f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
