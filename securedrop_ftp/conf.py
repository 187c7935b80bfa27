"""One typed settings object, read from Django's ``SECUREDROP`` dict.

The dict's keys are the upper-case names of :class:`Conf`'s fields; what is absent takes
the default written here. Values are checked by the system checks in
:mod:`securedrop_ftp.checks`, so a misspelt key or a bad value stops the service before
it serves, with a hint that says how to mend it.

Only :mod:`securedrop_ftp.project.settings` reads the environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.core.signals import setting_changed

from securedrop_ftp.conf_fields import Setting, choice, number, seconds, size, text

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Conf:
    """Everything an operator may set. Times are seconds, sizes are bytes.

    Type, default, range, unit and help of a setting stand here once: the checks read them, and the
    tables of the reference are written from them (``make format``). The environment
    variable of a field is ``SECUREDROP_`` and its name in capitals.
    """

    # Where we keep what is ours: the control directory of a single machine.
    data_dir: Path = text(  # noqa: RUF009 - a path is never changed
        Path("var"),
        "what this node keeps: SQLite, spool, logs of the demo",
        shown="`var/` beside `manage.py`",
    )

    # Listener and workers.
    ftps_bind: str = text(
        "127.0.0.1:2121", "`HOST:PORT` of the control channel; `[::]:21` for IPv4 and IPv6"
    )
    ftps_passive_ports: str = text("50000-50999", "for data connections; open them in the firewall")
    ftps_passive_address: str = text(
        "",
        "IPv4 address or host name, for the reply to PASV behind address "
        "translation; each node has its own",
        shown="the address the client reached",
    )
    ftps_passive_lookup_interval: float = seconds(
        60.0,
        (0.05, 86400),
        "how often that name is looked up; the last good answer is kept while the resolver fails",
    )
    ftps_passive_direct_from: str = text(
        "",
        "networks whose clients come past the address translation, with commas: "
        "PASV tells them the address that they have reached",
        shown="nobody",
    )
    proxy_protocol_from: str = text(
        "",
        "networks of balancers, with commas; their connections must begin with "
        "a PROXY header: {doc}`/howto/load-balancer`",
        shown="nobody",
    )
    health_check_from: str = text(
        "",
        "networks of monitors that speak no PROXY protocol: what they only "
        "open, or greet with `NOOP` and `QUIT`, leaves no audit row",
        shown="nobody",
    )
    ftps_workers: int = number(0, (0, 256), "worker processes; 0: one for each core")
    node: str = text(
        "",
        "this node's name in the ledger; no two nodes of a database have the same",
        shown="the host's name",
    )

    # TLS.
    tls_cert_file: str = text(
        "", "PEM, the server's certificate first, then the chain", shown="required"
    )
    tls_key_file: str = text("", "PEM, without a password", shown="required")
    tls_client_ca_file: str = text("", "the CA of client certificates", shown="none")
    web_tls_cert_file: str = text(
        "",
        "the admin site's certificate chain, for its unit and for `doctor`",
        shown="that of FTPS",
    )
    web_tls_key_file: str = text("", "the key of that certificate", shown="that of FTPS")
    tls_profile: str = choice(
        "tls12",
        ("tls12", "modern"),
        "`modern`: TLS 1.3 too, for clients that can have new session tickets "
        "for their data channels ({doc}`clients`)",
    )

    # Limits and deadlines (security bar, rows 16 and 17).
    max_connections: int = number(
        2000,
        (1, 1_000_000),
        "connections of all workers together; strangers (no login yet) have at "
        "most three quarters, and the one that came first gives way to a "
        "newcomer",
    )
    max_connections_per_ip: int = number(
        20,
        (1, 1_000_000),
        "connections from one address; an IPv6 address counts as its /64, and a "
        "connection that has not logged in for 10 s gives way",
    )
    connection_rate_per_ip: int = number(
        300,
        (0, 1_000_000),
        "connections a minute from one address (IPv6: /64) that bring no login; 0: no limit",
    )
    max_queued_output: int = size(
        64 * KIB,
        (4 * KIB, 64 * MIB),
        "replies that a client has not read; beyond that its session is closed",
    )
    max_queued_lines: int = number(16, (1, 1024), "commands that wait in one session")
    max_line_length: int = size(
        4096,
        (512, 64 * KIB),
        "the longest command line, its end included; a longer one is answered 500",
    )
    max_bad_commands: int = number(
        10, (1, 1000), "unknown commands in a row; then the session is closed"
    )
    handshake_timeout: float = seconds(
        15.0, (0.1, 3600), "for the TLS handshake of a control or data channel"
    )
    login_timeout: float = seconds(
        60.0, (0.1, 3600), "from connection to login; what a login takes us does not count"
    )
    idle_timeout: float = seconds(
        900.0, (0.1, 86400), "between two commands; running transfers do not count"
    )
    passive_timeout: float = seconds(
        30.0,
        (0.1, 3600),
        "for the data connection: from PASV to its command, and again from 150; "
        "what our work takes does not count",
    )
    stall_window: float = seconds(
        300.0,
        (0.1, 86400),
        "a transfer that moves nothing for so long is given up; a partner may have its own",
    )
    min_transfer_rate: int = number(
        0,
        (0, None),
        "bytes a second, averaged over the stall window, below which a transfer "
        "is given up; 0: what moves goes on; a partner may have its own",
    )
    max_session_age: float = seconds(
        86400.0,
        (1, 7 * 86400),
        "of a session; a transfer that runs then goes on while it moves 1 KiB/s",
    )
    operation_timeout: float = seconds(
        600.0, (0.1, 86400), "for one command's work, a commit included"
    )
    drain_timeout: float = seconds(
        30.0,
        (0, 86400),
        "what SIGTERM leaves to running transfers; what is late then ends with 426, and an upload "
        "is suspended",
    )
    replace_timeout: float = seconds(
        3600.0,
        (0, 7 * 86400),
        "the same after `ftps_replace`, for transfers of the old generation: {doc}`/howto/restart`",
    )
    refusal_rows_per_minute: int = number(
        60,
        (0, 1_000_000),
        "rows that refusals of one partner, or of one address (IPv6: /64) "
        "without a login, leave: 40 at once, then so many a minute. Beyond that "
        "they are counted in a row `refusals.counted` every 10 seconds; 0: no "
        "bound",
    )
    presence_interval: float = seconds(
        5.0, (0.05, 60), "how often workers show their live sessions to operators"
    )
    control_check_interval: float = seconds(
        20.0,
        (0.05, 60),
        "how soon sessions end whose account was disabled or its password, "
        "permissions, policy, network or certificate rules changed, and how "
        "soon lowered limits hold for the others",
    )

    # Pools.
    storage_threads: int = number(16, (1, 256), "threads for storage calls, in each worker")
    account_threads: int = number(8, (1, 64), "threads for logins and the database, in each worker")
    partner_storage_jobs: int = number(
        8, (1, 256), "storage calls of one partner at once, in each worker"
    )
    database_connections: int = number(
        6,
        (3, 100),
        "connections to PostgreSQL, in each worker: two of its own, and one for ten threads at the "
        "least; threads wait for one up to 10 seconds",
    )
    concurrent_hashes: int = number(
        2, (1, 64), "password hashes at once, in each worker; 19 MiB each"
    )

    # Intake.
    part_size: int = size(
        8 * MIB, (64 * KIB, 5 * 1024 * MIB), "of a part of an upload, as storage gets it"
    )
    max_part_size: int = size(
        48 * MIB, (64 * KIB, 5 * 1024 * MIB), "parts grow up to this with the object"
    )
    parts_in_flight: int = number(4, (1, 64), "parts of one upload on their way to storage at once")
    upload_memory: int = size(48 * MIB, (64 * KIB, None), "for the buffers of one upload")
    worker_memory: int = size(
        512 * MIB, (64 * KIB, None), "for the buffers of all uploads of a worker"
    )
    lease_seconds: float = seconds(90.0, (0.5, 86400), "how long a silent writer keeps a key")
    resume_window: int = seconds(
        86400,
        (0, 366 * 86400),
        "how long an interrupted upload is kept; a partner may have its own",
    )
    disk_spool: bool = text(
        False, "take objects larger than the storage's parts allow, through the disk"
    )
    disk_reserve: int = size(
        256 * MIB,
        (0, None),
        "free space that is kept on the disks of storage, spool and data "
        "directory, at most a sixth of each: uploads get 452 first",
    )
    spool_dir: str = text(
        "",
        "where uploads wait that storage cannot take in parts",
        shown="`spool/` in the data directory",
    )
    fault_step: str = text(
        "",
        "the numbered step of an upload at which a worker kills itself: crash tests only",
        shown="none",
    )

    # Storage client.
    storage_timeout: float = seconds(
        60.0, (0.1, 86400), "for one storage operation, its retries included"
    )
    read_ahead: int = number(
        4, (1, 64), "ranges in flight on a download; one where storage is a directory"
    )
    read_range: int = size(
        8 * MIB,
        (64 * KIB, 1024 * MIB),
        "what one request of a download asks storage for; 4 MiB at most where it is a directory",
    )

    # Lockout (row 28).
    lockout_user_ip_limit: int = number(5, (1, 1_000_000), "failures of one user from one address")
    lockout_ip_limit: int = number(20, (1, 1_000_000), "failures from one address")
    lockout_window: float = seconds(900.0, (1, 366 * 86400), "how long a failure counts")
    lockout_seconds: float = seconds(
        1800.0, (1, 366 * 86400), "how long the lockout lasts; a further try does not prolong it"
    )
    login_rate_per_ip: int = number(
        60,
        (0, 1_000_000),
        "failed logins a minute from one address (IPv6: /64); 0: no limit. Good "
        "ones are bounded by the partner's sessions alone",
    )

    # Logging.
    log_format: str = choice(
        "", ("", "console", "json"), "of the lines on standard error", shown="by terminal"
    )

    @property
    def bind(self) -> tuple[str, int]:
        """(host, port) of the FTPS listener."""
        host, _, port = self.ftps_bind.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def web_cert_file(self) -> str:
        """The certificate that the admin site serves: its own, else that of FTPS."""
        return self.web_tls_cert_file or self.tls_cert_file

    @property
    def web_key_file(self) -> str:
        """The key that belongs to :attr:`web_cert_file`."""
        return self.web_tls_key_file if self.web_tls_cert_file else self.tls_key_file

    @property
    def passive_ports(self) -> range:
        """The passive ports, both ends included."""
        low, _, high = self.ftps_passive_ports.partition("-")
        return range(int(low), int(high or low) + 1)

    @property
    def workers(self) -> int:
        """Worker processes: as set, else one per core."""
        return self.ftps_workers or os.cpu_count() or 1

    @property
    def spool(self) -> Path:
        """Where backends without parts keep an upload until it is whole."""
        return Path(self.spool_dir) if self.spool_dir else self.data_dir / "spool"


def settings_of() -> dict[str, Setting]:
    """What is known of each field of :class:`Conf`, by its name, in order."""
    return {f.name: f.metadata["setting"] for f in fields(Conf)}


def field_names() -> frozenset[str]:
    """The keys that ``SECUREDROP`` may hold."""
    return frozenset(f.name.upper() for f in fields(Conf))


def from_mapping(values: Mapping[str, Any]) -> Conf:
    """Build a :class:`Conf`; unknown keys are left to the system checks."""
    known = field_names()
    given = {key.lower(): value for key, value in values.items() if key in known}
    if "data_dir" in given:
        given["data_dir"] = Path(given["data_dir"])
    return Conf(**given)


@lru_cache(maxsize=1)
def get_conf() -> Conf:
    """The settings in force. ``get_conf.cache_clear()`` after a reload."""
    from django.conf import settings

    return from_mapping(getattr(settings, "SECUREDROP", {}))


def _on_setting_changed(*, setting: str, **_: Any) -> None:
    if setting == "SECUREDROP":
        get_conf.cache_clear()


# Tests of projects that use the app change settings (``override_settings``).
setting_changed.connect(_on_setting_changed, dispatch_uid="securedrop_ftp.conf")
