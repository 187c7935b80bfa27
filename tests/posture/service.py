"""The service that the scanners look at: on loopback, with a certificate that a CA signed."""

from __future__ import annotations

import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from securedrop_ftp.tls.development import make_certificates
from tests.fixtures.certificates import Certificates
from tests.fixtures.processes import PASSIVE_PORTS, ROOT, free_port
from tests.fixtures.served import ServedFtps, environment
from tests.fixtures.stores import DirectoryStore

#: What a public CA gives today; Mozilla's profiles allow no more than 366 days.
LIFETIME = timedelta(days=90)


@contextmanager
def service(**options: object) -> Iterator[ServedFtps]:
    """A server with the whole cast of the tests; ``options`` are fields of its configuration.
    Nothing else differs from a new installation: limits are the defaults."""
    with tempfile.TemporaryDirectory(prefix="securedrop-posture-") as name:
        directory = Path(name)
        make_certificates(directory / "certs", lifetime=LIFETIME)
        certificates = Certificates(directory / "certs")
        url = f"sqlite:///{directory}/service.sqlite3"
        settings: dict[str, object] = {
            "DATA_DIR": directory / "data",
            "SECRET_KEY": secrets.token_urlsafe(64),
            "DATABASE_URL": url,
            "STORAGE_URL": f"file://{directory}/storage",
            "FTPS_BIND": f"127.0.0.1:{free_port()}",
            "FTPS_PASSIVE_PORTS": PASSIVE_PORTS,
            "FTPS_WORKERS": 2,
            "TLS_CERT_FILE": certificates.server,
            "TLS_KEY_FILE": certificates.server_key,
            "LOG_FORMAT": "json",
        }
        settings |= {name.upper(): value for name, value in options.items()}
        (directory / "storage").mkdir()
        _make_cast(settings)
        store = DirectoryStore(directory / "storage")
        ftps = ServedFtps(directory, certificates, store, url, settings, {}).start()
        try:
            yield ftps
        finally:
            if ftps.child.exit_code is None:
                ftps.stop()


def _make_cast(settings: dict[str, object]) -> None:
    subprocess.run(
        [sys.executable, "-m", "tests.fixtures.cast"],
        env=environment(settings) | {"DJANGO_SETTINGS_MODULE": "securedrop_ftp.project.settings"},
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
