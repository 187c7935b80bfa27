"""The service that the clients meet, once for each TLS profile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.fixtures.served import ServedFtps
from tests.interop.trial import PART
from tests.posture import service as posture

PROFILES: Final = ("tls12", "modern")

#: What a partner's policy is called in the table, and the account that is under it.
POLICIES: Final = {"strict": "alice", "let off": "bob"}


@contextmanager
def service(profile: str) -> Iterator[ServedFtps]:
    """Two workers; ``alice``'s partner is as strict as a new one, ``bob``'s need not resume TLS
    sessions."""
    with posture.service(
        tls_profile=profile,
        part_size=PART,
        max_connections_per_ip=500,
        connection_rate_per_ip=0,
        login_rate_per_ip=0,
        refusal_rows_per_minute=0,
    ) as ftps:
        ftps.manage("partner_set", "globex", "--tls-session-reuse", "off")
        yield ftps
