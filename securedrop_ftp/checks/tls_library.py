"""Does the installed pyOpenSSL do what FTPS needs of it?"""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error

from securedrop_ftp.exceptions import ConfigurationError
from securedrop_ftp.tls.self_test import self_test


def check_tls_library(**kwargs: Any) -> list[CheckMessage]:
    """The deploy check; ``ftps_serve`` makes the same test before it listens."""
    try:
        self_test()
    except ConfigurationError as exc:
        return [
            Error(
                str(exc),
                hint="pip install -r requirements/service.txt; the service does not start without.",
                id="securedrop.E029",
            )
        ]
    return []
