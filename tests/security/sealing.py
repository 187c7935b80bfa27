"""TLS clients that write records of their own under the session's keys: what no library sends."""

from __future__ import annotations

import hashlib
import hmac
import socket
from collections.abc import Iterator

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from OpenSSL import SSL

HANDSHAKE, APPLICATION = 22, 23

#: A ClientHello that is empty: enough to ask for a renegotiation.
CLIENT_HELLO = b"\x01\x00\x00\x00"
#: RFC 8446 §4.6.3, the peer's own key not asked for.
KEY_UPDATE = b"\x18\x00\x00\x01\x00"


def client(sock: socket.socket, version: int) -> Sealer:
    """A handshake of one version, with AES-128-GCM."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    context.set_cipher_list(b"ECDHE-ECDSA-AES128-GCM-SHA256")
    context.set_tls13_ciphersuites(b"TLS_AES_128_GCM_SHA256")
    secrets: list[bytes] = []
    context.set_keylog_callback(lambda _connection, line: secrets.append(line))
    return Sealer(sock, context, secrets)


class Sealer:
    """A connection after its handshake, and records that may follow."""

    def __init__(
        self,
        sock: socket.socket,
        context: SSL.Context,
        secrets: list[bytes],
        session: SSL.Session | None = None,
    ) -> None:
        self._context, self._secrets = context, secrets
        sock.settimeout(None)  # pyOpenSSL wants a socket that blocks
        self.sock = sock
        self.tls = SSL.Connection(context, sock)
        if session is not None:
            self.tls.set_session(session)
        self.tls.set_connect_state()
        self.tls.do_handshake()

    def data_channel(self, sock: socket.socket) -> Sealer:
        """One that resumes this connection's session."""
        return Sealer(sock, self._context, self._secrets, self.tls.get_session())

    def hellos(self, number: int, before: bytes = b"") -> bytes:
        """TLS 1.2: requests for a renegotiation (RFC 5246 §7.4.1.2), after one record of data.
        Nothing may have been sent since the handshake."""
        records = [(APPLICATION, before)] if before else []
        return b"".join(self._sealed_12(records + [(HANDSHAKE, CLIENT_HELLO)] * number))

    def _sealed_12(self, records: list[tuple[int, bytes]]) -> Iterator[bytes]:
        secret = self.tls.master_key()
        ours, theirs = self.tls.client_random(), self.tls.server_random()
        assert secret is not None
        assert ours is not None
        assert theirs is not None
        seed = b"key expansion" + theirs + ours
        block, a = b"", seed
        while len(block) < 40:  # two keys, two salts (RFC 5246 §6.3, RFC 5288 §3)
            a = hmac.digest(secret, a, "sha256")
            block += hmac.digest(secret, a + seed, "sha256")
        cipher, salt = AESGCM(block[:16]), block[32:36]
        for number, (kind, body) in enumerate(records, 1):  # 0 was Finished
            nonce = number.to_bytes(8, "big")
            header = bytes([kind, 3, 3])
            sealed = nonce + cipher.encrypt(
                salt + nonce, body, nonce + header + len(body).to_bytes(2, "big")
            )
            yield header + len(sealed).to_bytes(2, "big") + sealed

    def key_updates(self, number: int) -> bytes:
        """TLS 1.3: changes of the client's key, one after the other."""
        (line,) = (s for s in self._secrets if s.startswith(b"CLIENT_TRAFFIC_SECRET_0 "))
        secret = bytes.fromhex(line.split()[2].decode())
        records = []
        body = KEY_UPDATE + bytes([HANDSHAKE])
        for _ in range(number):
            header = bytes([APPLICATION, 3, 3]) + (len(body) + 16).to_bytes(2, "big")
            key, nonce = _expanded(secret, b"key", 16), _expanded(secret, b"iv", 12)
            records.append(header + AESGCM(key).encrypt(nonce, body, header))
            secret = _expanded(secret, b"traffic upd", 32)
        return b"".join(records)


def _expanded(secret: bytes, label: bytes, size: int) -> bytes:
    """HKDF-Expand-Label (RFC 8446 §7.1) of one block."""
    label = b"tls13 " + label
    info = size.to_bytes(2, "big") + bytes([len(label)]) + label + b"\0"
    return hmac.digest(secret, info + b"\1", hashlib.sha256)[:size]
