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

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Conf:
    """Everything an operator may set. Times are seconds, sizes are bytes."""

    # Where we keep what is ours: the control directory of a single machine.
    data_dir: Path = Path("var")

    # Listener and workers.
    ftps_bind: str = "127.0.0.1:2121"
    ftps_passive_ports: str = "50000-50999"
    ftps_passive_address: str = ""  # told by PASV: an IPv4 address or a host name
    ftps_passive_lookup_interval: float = 60.0  # how often the name is looked up
    ftps_passive_direct_from: str = ""  # networks whose clients are told the address they reached
    proxy_protocol_from: str = ""  # networks of balancers, comma-separated: a header must come
    health_check_from: str = ""  # networks whose checks leave no audit row
    ftps_workers: int = 0  # 0: one per core
    node: str = ""  # "": this machine's host name

    # TLS.
    tls_cert_file: str = ""
    tls_key_file: str = ""
    tls_client_ca_file: str = ""
    web_tls_cert_file: str = ""  # of the admin site; "": the FTPS pair
    web_tls_key_file: str = ""
    tls_profile: str = "tls12"  # or "modern": TLS 1.3 too (docs/adr)

    # Limits and deadlines (security bar, rows 16 and 17).
    max_connections: int = 2000
    max_connections_per_ip: int = 20
    connection_rate_per_ip: int = 300  # connections a minute from one address, 0: no limit
    max_queued_output: int = 64 * KIB
    max_queued_lines: int = 16
    max_line_length: int = 4096
    max_bad_commands: int = 10
    handshake_timeout: float = 15.0
    login_timeout: float = 60.0
    idle_timeout: float = 900.0
    passive_timeout: float = 30.0
    stall_window: float = 300.0  # a transfer that moves nothing for so long is given up
    min_transfer_rate: int = 0  # bytes a second, averaged over stall_window; 0: what moves goes on
    max_session_age: float = 86400.0
    operation_timeout: float = 600.0  # a parked verb or a commit
    drain_timeout: float = 30.0
    refusal_rows_per_minute: int = 60  # of one partner or stranger; beyond, counted; 0: no bound
    presence_interval: float = 5.0  # live sessions as operators see them
    control_check_interval: float = 20.0  # disabled accounts' sessions end (row 31)

    # Pools.
    storage_threads: int = 16
    account_threads: int = 8
    partner_storage_jobs: int = 8  # concurrent storage jobs of one partner in one worker
    concurrent_hashes: int = 2  # argon2id runs at once in one worker

    # Intake.
    part_size: int = 8 * MIB
    max_part_size: int = 48 * MIB
    parts_in_flight: int = 4
    upload_memory: int = 48 * MIB
    worker_memory: int = 512 * MIB
    lease_seconds: float = 90.0
    resume_window: int = 86400
    disk_spool: bool = False  # take objects larger than the backend's parts allow
    disk_reserve: int = 256 * MIB  # kept free on our disks, at most a sixth of each
    spool_dir: str = ""  # "": <data_dir>/spool
    fault_step: str = ""  # tests only: the process kills itself there (intake/steps.py)

    # Storage client.
    storage_timeout: float = 60.0  # one operation's deadline, its retries included
    read_ahead: int = 4  # ranges in flight on a download
    read_range: int = 8 * MIB

    # Lockout (row 28).
    lockout_user_ip_limit: int = 5
    lockout_ip_limit: int = 20
    lockout_window: float = 900.0
    lockout_seconds: float = 1800.0
    login_rate_per_ip: int = 60  # logins a minute from one address, 0: no limit

    # Logging.
    log_format: str = ""  # "console" or "json"; "": console on a terminal

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
