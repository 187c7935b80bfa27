"""Many TLS records in one call, decrypted where they are wanted.

pyOpenSSL's ``recv_into`` reads one record (16 KiB) into a buffer of its own and copies it. This
goes below its surface: ``SSL_read`` straight into the caller's memory, again and again until that
is full or the socket is empty.
"""

from __future__ import annotations

from OpenSSL import SSL

_lib = SSL._lib  # type: ignore[attr-defined]  # no public name
_ffi = SSL._ffi  # type: ignore[attr-defined]  # no public name


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
                try:
                    connection._raise_ssl_error(tls, n)  # empties the error queue
                except Exception as exc:
                    return filled, exc
            filled += n
    return filled, None
