"""The demo's accounts are for this machine only (security bar, row 35)."""

from __future__ import annotations

from typing import Any, Final

from django.core.checks import CheckMessage, Error

from securedrop_ftp.access import network
from securedrop_ftp.conf import Conf, get_conf

#: The demo's passwords, in the data directory; its presence marks a demo's database.
DEMO_FILE: Final = "demo.json"


def is_loopback(host: str) -> bool:
    """Whether a host of a bind address is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return network.normalise(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_demo_exposure(**kwargs: Any) -> list[CheckMessage]:
    """The system check of :func:`exposure_problems`."""
    try:
        return exposure_problems(get_conf())
    except (TypeError, ValueError):  # SECUREDROP itself is broken; other checks say so
        return []


def exposure_problems(conf: Conf) -> list[CheckMessage]:
    """E030 where a data directory with the demo's accounts would be served to the world."""
    host, _ = conf.bind
    if is_loopback(host) or not (conf.data_dir / DEMO_FILE).exists():
        return []
    return [
        Error(
            f"SECUREDROP_FTPS_BIND={conf.ftps_bind} is outside loopback, and {conf.data_dir} holds "
            "the demo's accounts.",
            hint="Serve from a data directory and a database of their own (SECUREDROP_DATA_DIR, "
            "SECUREDROP_DATABASE_URL).",
            id="securedrop.E030",
        )
    ]
