"""The listening socket, and the descriptors that connections need."""

from __future__ import annotations

import os
import resource
import socket
from typing import Final

from securedrop_ftp.conf import Conf
from securedrop_ftp.exceptions import ConfigurationError
from securedrop_ftp.log import get_logger
from securedrop_ftp.server.handover import Inheritance

logger = get_logger(__name__)

#: The name of a socket unit's listener among what generations inherit.
_OF_SYSTEMD: Final = "listener/systemd"


def systemd_listener() -> dict[str, int]:
    """The socket that systemd holds for this process (sd_listen_fds(3)), if it does, to be
    inherited. Takes the variables that say so out of the environment."""
    mine = os.environ.pop("LISTEN_PID", "") == str(os.getpid())
    number = os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if not mine or number != "1":
        return {}
    os.set_inheritable(3, False)
    return {_OF_SYSTEMD: 3}


def listener_for(conf: Conf, inheritance: Inheritance) -> socket.socket:
    """The listener of systemd, or of the generation before for the same address, or a new one.

    Raises:
        ConfigurationError: the address is taken or is not this machine's.
    """
    name = _OF_SYSTEMD if _OF_SYSTEMD in inheritance.found else f"listener/{conf.ftps_bind}"
    listener = socket.socket(fileno=inheritance.take(name, lambda: _bound(conf).detach()))
    listener.setblocking(False)
    return listener


def _bound(conf: Conf) -> socket.socket:
    host, port = conf.bind
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind | socket.SOCK_CLOEXEC, proto)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(address)
        sock.listen(1024)
    except OSError as exc:
        raise ConfigurationError(
            f"Cannot listen on {conf.ftps_bind}: {exc.strerror or exc}. "
            "Set SECUREDROP_FTPS_BIND (or --bind) to a free address of this machine."
        ) from exc
    return sock


def raise_descriptor_limit() -> None:
    """A shell's soft limit (1024) is for programs that use select(2); we may have the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as exc:
        logger.warning("service.descriptor_limit", error=str(exc))
