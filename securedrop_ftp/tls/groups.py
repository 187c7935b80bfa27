"""Which groups a handshake may agree its key in.

pyOpenSSL's ``set_tmp_ecdh`` takes one curve and TLS 1.3 none, so this too goes below its surface.
"""

from __future__ import annotations

from OpenSSL import SSL


def limit_groups(context: SSL.Context, groups: bytes) -> None:
    """Allow ``groups`` (OpenSSL's names, preferred first, colons between) and no others.

    Raises:
        ValueError: OpenSSL does not know one of them.
    """
    library = SSL._lib  # type: ignore[attr-defined]  # no public name
    if library.SSL_CTX_set1_curves_list(context._context, groups) != 1:
        library.ERR_clear_error()
        raise ValueError(f"OpenSSL does not know all of the groups {groups.decode()}")
