"""What a hostile client may write: verbs × arguments × half lines."""

from __future__ import annotations

import random
import ssl
from typing import Final

VERBS: Final = (
    "ABOR", "ACCT", "ALLO", "APPE", "AUTH", "CCC", "CDUP", "CLNT", "CWD", "DELE", "EPRT", "EPSV",
    "FEAT", "HASH", "HELP", "HOST", "LANG", "LIST", "MDTM", "MFMT", "MKD", "MLSD", "MLST", "MODE",
    "NLST", "NOOP", "OPTS", "PASS", "PASV", "PBSZ", "PORT", "PROT", "PWD", "REIN", "REST", "RETR",
    "RMD", "RNFR", "RNTO", "SITE", "SIZE", "SMNT", "STAT", "STOR", "STOU", "STRU", "SYST", "TYPE",
    "USER", "XCRC", "XCUP", "XCWD", "XMKD", "XPWD", "XRMD", "XSHA256",
)  # fmt: skip

#: These wait for a data connection, or write an audit row, or hash: they come less often.
SLOW: Final = {
    "APPE", "LIST", "NLST", "MLSD", "RETR", "STOR", "STOU", "DELE", "MKD", "XMKD", "RMD", "XRMD",
    "RNTO", "PASS", "HASH", "XSHA256", "XCRC",
}  # fmt: skip
WEIGHTS: Final = tuple(1 if verb in SLOW else 30 for verb in VERBS)

ARGUMENTS: Final = (
    b"", b" ", b"/", b".", b"..", b"../..", b"/..//../etc/passwd", b"..\\other\\secret", b"~root",
    b"a", b"a.bin", b"in/b.bin", b"a/" * 300, b"x" * 255, b"x" * 256, b"x" * 1025, b"x" * 4000,
    b"\x00", b"a\x00b", b"a\nb", b"a\rb", b"\x1b[2J", b"\x7f", b"\xff\xfe",
    b"\xc0\xaf",
    b"\xed\xa0\x80", "ſ".encode(), "a\u202eb\u2028".encode(), "🦆".encode(), b"%s%s%n%x", b"{0.x}",
    b"$(id)", b"`id`", b"*", b"*/../*", b"-la", b"-R /", b"0", b"1", b"-1", b"+1", b"1_000", b"1e9",
    b"9" * 40, b"18446744073709551616", b"\xd9\xa3", b"TLS", b"SSL", b"TLS-P", b"P", b"C", b"S",
    b"I", b"A", b"A N", b"L 8", b"E", b"UTF8 ON", b"MLST size;modify;", b"MLST " + b";" * 500,
    b"HASH SHA-256", b"ALL", b"1", b"2", b"3", b"|1|127.0.0.1|1|", b"127,0,0,1,0,21",
    b"255,255,255,255,255,255", b"CHMOD 777 a", b"HELP", b"20260101000000 a", b"a R 5", b"alice",
    b"alice\x00root", b"' OR 1=1 --", b"<script>alert(1)</script>", b"\t\t", b"a  b ",
    b".securedrop",
    b"/.securedrop/uploads", b"acme/../globex/a", b"CON", b"a.bin (1)",
)  # fmt: skip

_IAC: Final = (b"\xff\xf4\xff\xf2", b"\xff\xf4", b"\xff\xfd\xff\xf2")
_HTTP: Final = (b"GET / HTTP/1.1", b"POST / HTTP/1.1", b"PRI * HTTP/2.0")


def line(chance: random.Random) -> bytes:
    """One command line with its CRLF, or what passes for one."""
    kind = chance.random()
    if kind < 0.90:
        verb = chance.choices(VERBS, WEIGHTS)[0].encode()
        if chance.random() < 0.1:
            verb = verb.lower()
        argument = chance.choice(ARGUMENTS) if chance.random() < 0.8 else b""
        text = verb + b" " + argument if argument or chance.random() < 0.1 else verb
    elif kind < 0.93:
        text = chance.choice(_IAC) + b"ABOR"
    elif kind < 0.96:
        text = chance.randbytes(chance.randrange(1, 60)).replace(b"\r\n", b"")
    elif kind < 0.98:
        text = mutated(chance, b"NOOP " + chance.choice(ARGUMENTS))
    elif kind < 0.9804:  # the second of these ends a session, so they are few
        text = chance.choice((*_HTTP, b"STAT " + b"x" * 5000))
    else:
        text = b""
    return text + b"\r\n"


def burst(chance: random.Random, lines: int) -> list[bytes]:
    """Lines as they go out: some glued together, some torn in the middle, data verbs often with
    the EPSV that they need before them and an ABOR behind them."""
    whole: list[bytes] = []
    while len(whole) < lines:
        one = line(chance)
        if one[:4].upper() in _DATA_VERBS:
            if chance.random() < 0.5:
                whole.append(b"EPSV\r\n")
            whole.append(one)
            whole.append(b"ABOR\r\n")
        else:
            whole.append(one)
    stream = b"".join(whole[:lines])
    pieces = []
    while stream:
        cut = chance.choice((1, 7, 200, 1500, 4000, 4000, 4000))
        pieces.append(stream[:cut])
        stream = stream[cut:]
    return pieces


_DATA_VERBS: Final = frozenset((b"STOR", b"RETR", b"LIST", b"NLST", b"MLSD", b"APPE", b"STOU"))


def mutated(chance: random.Random, data: bytes) -> bytes:
    """A few bytes changed, doubled, cut out; CRLF never comes by it."""
    changed = bytearray(data)
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(changed)) if changed else 0
        act = chance.randrange(3)
        if act == 0 and changed:
            changed[at] = chance.randrange(256)
        elif act == 1:
            changed[at:at] = chance.randbytes(chance.randrange(1, 8))
        elif changed:
            del changed[at : at + chance.randrange(1, 4)]
    return bytes(changed).replace(b"\r\n", b"\n")


def client_hello() -> bytes:
    """A real one, as OpenSSL writes it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    handshake = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    try:
        handshake.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()
