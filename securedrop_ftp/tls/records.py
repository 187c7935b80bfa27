"""Many TLS records in one call, decrypted where they are wanted.

pyOpenSSL's ``recv_into`` reads one record (16 KiB) into a buffer of its own and copies it, and its
``send`` writes one. This goes below its surface: ``SSL_read`` straight into the caller's memory,
again and again until that is full or the socket is empty, and ``SSL_write`` until the socket takes
no more.

What is returned as an error has no traceback: its frames would lead to the caller's, which holds
the error, and that cycle would keep the buffer until the garbage collector comes.
"""

from __future__ import annotations

from OpenSSL import SSL

_lib = SSL._lib  # type: ignore[attr-defined]  # no public name
_ffi = SSL._ffi  # type: ignore[attr-defined]  # no public name
_FIN = _lib.SSL_R_UNEXPECTED_EOF_WHILE_READING


class Fin(SSL.SysCallError):
    """The peer's FIN where a record was awaited, and no close_notify before it. Never RST: OpenSSL
    has a reason of its own for a read that gave nothing (pyOpenSSL raises the same for that and for
    errors without a number)."""


def read_into(connection: SSL.Connection, into: memoryview) -> tuple[int, Exception | None]:
    """Decrypt into ``into``, which is writable and not empty.

    Returns how many bytes came, and why it was left before ``into`` was full: what pyOpenSSL would
    have raised (:class:`OpenSSL.SSL.WantReadError`, ``ZeroReturnError``, …). Both may be there: the
    bytes came first.
    """
    tls = connection._ssl  # no public name
    filled, size = 0, len(into)
    with _ffi.from_buffer(into, require_writable=True) as buffer:
        while filled < size:
            n = _lib.SSL_read(tls, buffer + filled, size - filled)
            if n <= 0:
                fin = _lib.ERR_GET_REASON(_lib.ERR_peek_error()) == _FIN
                try:
                    connection._raise_ssl_error(tls, n)  # empties the error queue
                except Exception as exc:
                    if fin:
                        return filled, Fin(*exc.args)
                    return filled, exc.with_traceback(None)
            filled += n
    return filled, None


def write_from(
    connection: SSL.Connection, data: bytes | bytearray | memoryview, limit: int
) -> tuple[int, Exception | None]:
    """Encrypt and send ``data``, which is not empty, until ``limit`` bytes are out, or a record
    more.

    Returns how many were sent, and what pyOpenSSL would have raised where the socket or the
    connection took no more. The bytes that follow must be offered next, as many or more (OpenSSL
    keeps a record that the socket took half of).
    """
    tls = connection._ssl  # no public name
    sent, size = 0, len(data)
    with _ffi.from_buffer(data) as buffer:
        while sent < size and sent < limit:
            n = _lib.SSL_write(tls, buffer + sent, size - sent)
            if n <= 0:
                try:
                    connection._raise_ssl_error(tls, n)  # empties the error queue
                except Exception as exc:
                    return sent, exc.with_traceback(None)
            sent += n
    return sent, None
