"""A service of our own for measurements, with the cast of the tests."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from securedrop_ftp.project.demo.children import Child
from securedrop_ftp.tls.development import make_certificates
from tests.fixtures.processes import PASSIVE_PORTS, ROOT, free_port, wait_until


@dataclass(frozen=True)
class Service:
    """Where it listens and whom to trust."""

    port: int
    ca: Path
    environment: dict[str, str]
    directory: Path


def start_service(
    directory: Path,
    *,
    workers: int,
    settings_module: str = "securedrop_ftp.project.settings",
    root: Path = ROOT,
    **settings: object,
) -> tuple[Service, Child]:
    """Migrate, make the cast, serve from the checkout ``root``; returns when it is ready."""
    certificates = directory / "certs"
    make_certificates(certificates)
    port = free_port()
    values: dict[str, object] = {
        "DATA_DIR": directory / "data",
        "SECRET_KEY": secrets.token_urlsafe(64),
        "STORAGE_URL": f"file://{directory / 'storage'}",
        "FTPS_BIND": f"127.0.0.1:{port}",
        "FTPS_PASSIVE_PORTS": PASSIVE_PORTS,
        "FTPS_WORKERS": workers,
        "TLS_CERT_FILE": certificates / "server.pem",
        "TLS_KEY_FILE": certificates / "server.key",
        "LOG_FORMAT": "json",
        "MAX_CONNECTIONS_PER_IP": 2000,
        "CONNECTION_RATE_PER_IP": 0,
        "LOGIN_RATE_PER_IP": 0,
    } | settings
    inherited = {n: v for n, v in os.environ.items() if not n.startswith("SECUREDROP_")}
    environment = inherited | {f"SECUREDROP_{n}": str(v) for n, v in values.items()}
    environment["DJANGO_SETTINGS_MODULE"] = settings_module
    (directory / "storage").mkdir()
    with (directory / "cast.log").open("wb") as log:
        made = [sys.executable, "-m", "tests.fixtures.cast"]
        subprocess.run(made, env=environment, cwd=root, check=True, stdout=log, stderr=log)
    child = Child(
        "ftps",
        [sys.executable, str(root / "manage.py"), "ftps_serve"],
        env=environment,
        output=directory,
        cwd=root,
    )
    ready = re.compile(r"^ready ", re.MULTILINE)
    wait_until(lambda: ready.search(child.out.read_text()) is not None, "ftps_serve", child)
    return Service(port, certificates / "ca.pem", environment, directory), child
