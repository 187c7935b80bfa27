"""The passive ports: can they be bound, and does something else want them?"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from securedrop_ftp.conf import Conf
from securedrop_ftp.server.doctor.finding import Finding, ok, problem, warning

CHECK: Final = "passive ports"

_IPV4: Final = Path("/proc/sys/net/ipv4")

#: A partner's batch uses one port for each file, and a port rests for a minute after use.
FEW: Final = 50


def passive_ports(conf: Conf) -> Iterator[Finding]:
    """Whether data channels will find their ports. Binds each one for a moment."""
    ports = conf.passive_ports
    shown = f"{ports[0]}-{ports[-1]}"
    findings = [*_ephemeral(ports, shown), *_own(conf, ports, shown), *_few(ports, shown)]
    taken, refused = _unbindable(conf.bind[0], ports)
    if refused:
        findings.append(
            problem(
                CHECK,
                f"{len(refused)} of {len(ports)} cannot be bound ({os.strerror(refused[0])}).",
                "Choose SECUREDROP_FTPS_PASSIVE_PORTS above 1023, and a bind address of this "
                "machine.",
            )
        )
    elif taken:
        few = ", ".join(str(port) for port in taken[:5]) + ", …" * (len(taken) > 5)
        make = problem if len(taken) > len(ports) // 2 else warning
        findings.append(
            make(
                CHECK,
                f"{len(taken)} of {len(ports)} are in use just now ({few}).",
                "Transfers of the running service use some; where other programs do (ss -ltnp), "
                "move SECUREDROP_FTPS_PASSIVE_PORTS.",
            )
        )
    yield from findings
    if not findings:
        yield ok(CHECK, f"{shown}, {len(ports)} ports, all free.")


def _few(ports: range, shown: str) -> Iterator[Finding]:
    if len(ports) < FEW:
        yield warning(
            CHECK,
            f"{shown} are only {len(ports)}: many small files in a row will find none free.",
            "Give at least a few hundred, and open them in the firewall.",
        )


def _own(conf: Conf, ports: range, shown: str) -> Iterator[Finding]:
    if conf.bind[1] in ports:
        yield problem(
            CHECK,
            f"The listener's port {conf.bind[1]} lies in the passive range {shown}.",
            "Move one of SECUREDROP_FTPS_BIND and SECUREDROP_FTPS_PASSIVE_PORTS.",
        )


def _ephemeral(ports: range, shown: str) -> Iterator[Finding]:
    """The kernel gives ports of its own range to outgoing connections (to storage, to the
    database), unless they are reserved (ip-sysctl.rst)."""
    try:
        low, high = map(int, (_IPV4 / "ip_local_port_range").read_text().split())
        reserved = _listed((_IPV4 / "ip_local_reserved_ports").read_text())
    except (OSError, ValueError):
        return
    shared = [port for port in ports if low <= port <= high and port not in reserved]
    if shared:
        yield warning(
            CHECK,
            f"{len(shared)} of {shown} lie in {low}-{high}, which the kernel gives to outgoing "
            "connections: now and then one is not free.",
            f"sysctl -w net.ipv4.ip_local_reserved_ports={shown} (and in /etc/sysctl.d), or choose "
            f"a range below {low}.",
        )


def _listed(text: str) -> set[int]:
    """``1,5-9`` as numbers."""
    numbers: set[int] = set()
    for item in text.strip().split(","):
        if item:
            first, _, last = item.partition("-")
            numbers.update(range(int(first), int(last or first) + 1))
    return numbers


def _unbindable(host: str, ports: range) -> tuple[list[int], list[int]]:
    """The ports that are in use, and the error numbers of those that cannot be bound at all."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    taken: list[int] = []
    refused: list[int] = []
    for port in ports:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
                probe.listen(1)
            except OSError as exc:
                if exc.errno == errno.EADDRINUSE:
                    taken.append(port)
                else:
                    refused.append(exc.errno or 0)
    return taken, refused
