"""The service that runs, if one does: does it serve what the files say?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryptography import x509

from securedrop_ftp import replies
from securedrop_ftp.access import network
from securedrop_ftp.conf import Conf
from securedrop_ftp.ftps.proxy_protocol import LOCAL_HEADER
from securedrop_ftp.server.doctor.client import connected
from securedrop_ftp.server.doctor.finding import Finding, ok, problem, warning
from securedrop_ftp.server.status import ServiceStatus, fingerprint

CHECK: Final = "service"

_TIMEOUT: Final = 5.0


def service(conf: Conf, status: ServiceStatus | None) -> Iterator[Finding]:
    """What the status file says, against the certificate file as it is now."""
    if status is None:
        yield ok(CHECK, "none runs in this data directory.")
        return
    where = f"{status.host}:{status.port}"
    findings = list(_judged(conf, status))
    yield from findings
    if not findings:
        yield ok(CHECK, f"serves on {where} with {status.workers} workers since {status.since}.")


def _judged(conf: Conf, status: ServiceStatus) -> Iterator[Finding]:
    if status.reload_refused:
        yield problem(
            CHECK,
            f"The last reload ({status.reload_refused_at}) was refused, and the old certificate "
            f"and settings serve on: {status.reload_refused}",
            "Mend that and send SIGHUP again.",
        )
        return
    if status.replacement_refused:
        yield problem(
            CHECK,
            f"Generation {status.generation} serves on: the last replacement was refused: "
            f"{status.replacement_refused}",
            "Mend that and run ftps_replace again.",
        )
        return
    try:
        leaf = x509.load_pem_x509_certificates(Path(conf.tls_cert_file).read_bytes())[0]
    except (OSError, ValueError):
        return  # the certificate's own check says so
    if fingerprint(leaf) != status.certificate:
        yield warning(
            CHECK,
            f"It serves another certificate than {conf.tls_cert_file} holds.",
            f"Take the new one: kill -HUP {status.pid}.",
        )


def reachable(conf: Conf, status: ServiceStatus | None) -> tuple[str, int] | None:
    """Where to connect to the service that listens at the configured address.

    Raises:
        OSError: something else listens there.
    """
    host, port = (status.host, status.port) if status is not None else conf.bind
    target = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104
    try:
        connection = connected(target, port, _TIMEOUT, header_for(target, conf))
    except OSError:
        return None
    with connection:
        connection.settimeout(_TIMEOUT)
        greeting = connection.recv(200)
    if greeting.startswith((replies.GREETING.line()[:18], b"421 ")):
        return target, port
    raise OSError(f"another program listens on {target}:{port}")


def header_for(target: str, conf: Conf) -> bytes:
    """What a connection of our own to ``target`` begins with: who connects to an address of this
    machine comes from it."""
    try:
        balancer = network.within(network.canonical(target), conf.proxy_protocol_from)
    except ValueError:  # a host name
        return b""
    return LOCAL_HEADER if balancer else b""
