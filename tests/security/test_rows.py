"""Rows of the security bar (docs/reference/security-bar.md) that no other file attacks."""

from __future__ import annotations

import ssl

import pytest

from tests.fixtures.served import Serve, ServedFtps
from tests.security.test_control_channel import raw, read_reply


@pytest.mark.parametrize(("group", "taken"), [("prime256v1", True), ("secp521r1", False)])
def test_row_24_only_the_profiles_groups_agree_on_a_key(
    standing: Serve, group: str, taken: bool
) -> None:
    ftps = standing(options={"tls_profile": "modern"})
    context = ssl.create_default_context(cafile=str(ftps.ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_ecdh_curve(group)
    assert _handshake(ftps, context) is taken


def _handshake(ftps: ServedFtps, context: ssl.SSLContext) -> bool:
    with raw(ftps) as sock:
        sock.sendall(b"AUTH TLS\r\n")
        read_reply(sock)
        try:
            context.wrap_socket(sock, server_hostname="localhost").close()
        except (ssl.SSLError, ConnectionResetError):
            return False
    return True
