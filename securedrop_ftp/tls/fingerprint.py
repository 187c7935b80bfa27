"""Which TLS library speaks: JA4 of a ClientHello, and the libraries whose JA4 was measured.

JA4 (FoxIO's, as its technical description has it) is
``t<version><d|i><ciphers><extensions><ALPN>_<ciphers>_<extensions and signature algorithms>``:
the last two are hashes of sorted lists, so that libraries which shuffle their extensions have one
JA4. The table holds what real clients sent here (``docs/howto/partner-cannot-connect.md`` says how
to measure another); nothing is guessed from a likeness.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from securedrop_ftp.tls.hello import Hello, numbers, parsed

_SERVER_NAME, _SIGNATURE_ALGORITHMS, _ALPN = 0, 13, 16
#: Padding, a key and early data: there or not by the length of a name and by what came before
#: (RFC 7685; RFC 8446 §4.2.10, §4.2.11).
_VARYING: Final = frozenset({21, 41, 42})
_NAMES: Final = {0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3"}


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """``ja4`` as tools have it; ``library`` is ``""`` where it was not measured."""

    ja4: str
    library: str
    key: str  # what the table is asked by


def fingerprint(data: bytes) -> Fingerprint | None:
    """Of a connection that begins with ``data``; ``None`` where that is no ClientHello."""
    hello = parsed(data)
    if hello is None:
        return None
    ciphers = _digest(_hex(sorted(_plain(hello.ciphers))))
    key = f"{ciphers}_{_digest(_asked(hello, without=_VARYING))}"
    ja4 = f"{_start(hello)}_{ciphers}_{_digest(_asked(hello))}"
    return Fingerprint(ja4, LIBRARIES.get(key, ""), key)


def _start(hello: Hello) -> str:
    versions = _plain(hello.versions)
    return (
        "t"
        + _NAMES.get(max(versions, default=hello.version), "00")
        + ("d" if _SERVER_NAME in hello.extensions else "i")
        + f"{min(len(_plain(hello.ciphers)), 99):02d}"
        + f"{min(len(_plain(hello.extensions)), 99):02d}"
        + _ends(hello.extensions.get(_ALPN, b""))
    )


def _asked(hello: Hello, *, without: frozenset[int] = frozenset()) -> str:
    wanted = set(_plain(hello.extensions)) - {_SERVER_NAME, _ALPN} - without
    algorithms = numbers(hello.extensions.get(_SIGNATURE_ALGORITHMS, b"\0\0")[2:])
    return "_".join(filter(None, (_hex(sorted(wanted)), _hex(_plain(algorithms)))))


def _plain(numbers: Iterable[int]) -> list[int]:
    """Without GREASE (RFC 8701): 0x0a0a, 0x1a1a, …"""
    return [n for n in numbers if not (n & 0x0F0F == 0x0A0A and n >> 8 == n & 0xFF)]


def _hex(numbers: Iterable[int]) -> str:
    return ",".join(f"{n:04x}" for n in numbers)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12] if text else "0" * 12


def _ends(alpn: bytes) -> str:
    """The first and the last character of the first protocol; ``00``: none."""
    name = alpn[3 : 3 + alpn[2]] if len(alpn) > 3 else b""
    if not name:
        return "00"
    ends = chr(name[0]) + chr(name[-1])
    return ends if ends.isascii() and ends.isalnum() else name.hex()[0] + name.hex()[-1]


#: By the two hashes of a JA4 without what varies; measured with these clients on their defaults.
LIBRARIES: Final[dict[str, str]] = {
    "e8f1e7e78f70_375ca2c5e164": "OpenSSL as in curl 7.88",
    "1d37bd780c83_882d495ac381": "OpenSSL as in pycurl (libcurl 8.23, OpenSSL 3.6)",
    "e8f1e7e78f70_1f22a2ca17c4": "OpenSSL as in PHP 8.2",
    "e8f1e7e78f70_f6eeaf393d2e": "OpenSSL as in Perl's IO::Socket::SSL 2.081",
    "e8f1e7e78f70_fb8d5ffd48c1": "OpenSSL as in Ruby 3.1",
    "85036bcba153_1f22a2ca17c4": "OpenSSL as in Python 3.11",
    "d68b136fe8d9_e7e480e5a997": "OpenSSL as in Python 3.11, limited to TLS 1.2",
    "a33745022dd6_1f22a2ca17c4": "OpenSSL as in Node 20",
    "723694b0fccc_2cc26d266019": "GnuTLS as in lftp 4.9.2",
    "723694b0fccc_148158566ece": "GnuTLS as in wget 1.21.3",
    "723694b0fccc_44d130fe90c8": "GnuTLS as in FileZilla 3.63",
    # Go asks for tickets where it has a session cache only: without, it cannot resume.
    "9dc949149365_e5728521abd4": "Go 1.26 without a session cache",
    "9dc949149365_1bd98dace775": "Go 1.26 with a session cache",
    "8cdfa2d4673b_dbe62b8f9fc7": "Go 1.26 with a session cache, limited to TLS 1.2",
    "9dc949149365_be53661681a4": "Go as in rclone 1.60",
    "f57a46bbacb6_fb48f8b98a29": "Go as in rclone 1.75",
    "db35923f8641_7c76daad20ec": "Java 17 (JSSE)",
    "0ca14b6c4d46_1f7ae294493e": "Java 17 (JSSE), limited to TLS 1.2",
    "015d2142bc66_386605f30b6a": "Erlang/OTP 25",
}
