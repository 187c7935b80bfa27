"""This process's names: node, boot, writer."""

from __future__ import annotations

import os
import socket
import uuid
from dataclasses import dataclass

from securedrop_ftp.conf import Conf
from securedrop_ftp.intake.owners import COMMAND, FTPS, PROCESS, Boot


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a process is to the others that share the database: ``node:service:boot:worker``.

    Attributes:
        boot: the run of the service that the process belongs to.
        worker: the process, among those of its boot.
        alone: the boot is this process's own: it registers it, and withdraws it at its end. The
            workers of a supervisor share theirs, and the supervisor does that.
    """

    boot: Boot
    worker: str
    alone: bool

    @property
    def owner(self) -> str:
        """The holder of this process's leases."""
        return self.boot.writer(self.worker)


def node_name(conf: Conf) -> str:
    """The machine's name among those that share the database."""
    return conf.node or socket.gethostname()


def new_boot(conf: Conf) -> Boot:
    """One run of the FTPS service: its pid and a random part."""
    return Boot.of_this_process(_new_id(), node_name(conf), FTPS)


def of_worker(boot: Boot, index: int, incarnation: int) -> Identity:
    """A worker of a supervisor. One that takes a dead one's place is another writer."""
    return Identity(boot, f"{index}.{incarnation}", alone=False)


def of_process(conf: Conf) -> Identity:
    """This process, whatever it is: a web server's worker, a command, a script."""
    boot = Boot.of_this_process(_new_id(), node_name(conf), PROCESS)
    return Identity(boot, "0.0", alone=True)


def command_owner(conf: Conf) -> str:
    """The writer that a command is, while it settles something: it does not beat, so its leases
    run out."""
    return Boot.of_this_process(_new_id(), node_name(conf), COMMAND).writer("0.0")


def _new_id() -> str:
    return f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
