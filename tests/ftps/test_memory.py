"""What a connection leaves behind when it is gone."""

from __future__ import annotations

import gc

from securedrop_ftp.tls.contexts import Certificate, build_context
from securedrop_ftp.tls.profiles import PROFILES
from tests.fixtures.certificates import Certificates


def test_a_tls_context_leaves_nothing_for_the_garbage_collector(
    certificates: Certificates,
) -> None:
    """What it leaves waits for a full collection: a flood of connections filled the memory so."""
    pair = Certificate.load(str(certificates.server), str(certificates.server_key))

    def come_and_go() -> None:
        for profile in PROFILES.values():
            build_context(pair, profile, 60, ask_client=True)

    come_and_go()  # what is made once and kept
    gc.collect()
    gc.disable()
    try:
        come_and_go()
        assert gc.collect() == 0
    finally:
        gc.enable()
