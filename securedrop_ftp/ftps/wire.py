"""Command lines off the wire: bytes in, whole commands out, nothing guessed (RFC 959 §5.3).

A line ends with CRLF. Anything else that could be read in two ways is refused: undecodable text
(RFC 2640 asks for UTF-8), control characters inside a line, verbs that are not plain ASCII. The
tail of an over-long line is thrown away up to its CRLF, so that it never runs as a command.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from securedrop_ftp import causes, replies
from securedrop_ftp.replies import Reply

CRLF: Final = b"\r\n"

#: Telnet's Interrupt Process and Synch, which RFC 959 §4.1.3 puts before ABOR, and whatever else
#: Telnet (RFC 854) may say before a command. The Synch goes as urgent data, of which the kernel
#: keeps the last byte to itself: IAC or Data Mark may stand alone. No verb begins with such a byte.
_TELNET: Final = re.compile(rb"(?:\xff[\xfb-\xfe][\x00-\xff]|\xff?[\xf0-\xfa]|\xff)+")

_LOGIN: Final = (b"USER ", b"PASS ")

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")

#: Verbs of another protocol: a browser was tricked into talking to us (ALPACA).
HTTP_VERBS: Final = frozenset(
    {"GET", "POST", "PUT", "HEAD", "OPTIONS", "PATCH", "DELETE", "CONNECT", "TRACE", "PRI"}
)


#: How a ClientHello begins (RFC 8446 §5.1); no line does.
_TLS_RECORD: Final = b"\x16\x03"

_OTHER_PROTOCOL: Final = replies.NOT_UNDERSTOOD.but("This is an FTP server.")
_EXPLICIT_ONLY: Final = replies.NOT_UNDERSTOOD.but("Explicit TLS only: send AUTH TLS first.")


@dataclass(frozen=True, slots=True)
class Command:
    """One command: an upper-case ASCII verb and its argument (may be empty)."""

    verb: str
    argument: str = ""


@dataclass(frozen=True, slots=True)
class Violation:
    """A line that is not a command, and what to answer."""

    reply: Reply
    fatal: bool = False
    verb: str = ""  # upper-case, and what came with it, as far as they can be told
    argument: str = ""


class LineParser:
    """Feed it bytes; take :class:`Command` and :class:`Violation` from :meth:`next`."""

    def __init__(self, max_length: int) -> None:
        self._buffer = bytearray()
        self._scanned = 0
        self._max = max_length
        self._discarding = False
        self._overlong = 0

    @property
    def pending(self) -> bool:
        """Whether any byte waits, also of an unfinished line."""
        return bool(self._buffer) or self._discarding

    def clear(self) -> None:
        """Forget all input that was fed and not taken."""
        self._buffer.clear()
        self._scanned = 0
        self._discarding = False

    def feed(self, data: bytes) -> None:
        """Add bytes as they came from the control channel."""
        self._buffer += data

    def next(self) -> Command | Violation | None:
        """The next line, or ``None`` until more input comes."""
        if not self._buffer:
            return None
        if self._buffer[:2] == _TLS_RECORD:
            self.clear()
            return Violation(_EXPLICIT_ONLY.because(causes.IMPLICIT_TLS), fatal=True)
        while True:
            # Start one byte back: the CR may have come with the last read.
            end = self._buffer.find(CRLF, max(0, self._scanned - 1))
            if end < 0:
                self._scanned = len(self._buffer)
                if len(self._buffer) > self._max:
                    return self._too_long()
                return None
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 2]
            self._scanned = 0
            if self._discarding:
                self._discarding = False
                continue
            if len(line) > self._max:
                return self._count_overlong(line)
            return parse(line)

    def _too_long(self) -> Violation | None:
        head = bytes(self._buffer[: self._max])
        tail = self._buffer[-1:] if self._buffer.endswith(b"\r") else b""
        self._buffer[:] = tail
        self._scanned = 0
        if self._discarding:
            return None
        self._discarding = True
        return self._count_overlong(head)

    def _count_overlong(self, line: bytes) -> Violation:
        self._overlong += 1
        fatal = self._overlong > 1
        return Violation(replies.LINE_TOO_LONG, fatal, *_meant(line[: self._max]))


def parse(line: bytes) -> Command | Violation:
    """One line without its CRLF."""
    if line[:1] >= b"\xf0" and (telnet := _TELNET.match(line)):
        line = line[telnet.end() :]
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        if not line[:5].upper().startswith(_LOGIN):
            return Violation(replies.BAD_NAME, False, *_meant(line))
        # A login that fails, is counted and recorded like every other: lone surrogates stand for
        # the bytes, and neither a name nor a password can have one.
        text = line.decode("utf-8", "surrogateescape")
    verb, _, argument = text.partition(" ")
    if verb.startswith("SSH-"):  # RFC 4253 §4.2
        return Violation(_OTHER_PROTOCOL.because(causes.SPOKE_SSH), fatal=True)
    if not (verb.isascii() and verb.isalnum()):
        return Violation(replies.NOT_UNDERSTOOD)
    verb = verb.upper()
    if verb in HTTP_VERBS:
        return Violation(_OTHER_PROTOCOL.because(causes.SPOKE_HTTP), fatal=True)
    if verb == "PROXY":  # taken from SECUREDROP_PROXY_PROTOCOL_FROM only
        stray = replies.NOT_UNDERSTOOD.but("No PROXY header from this address.")
        return Violation(stray.because(causes.PROXY_HEADER), fatal=True)
    # A password may hold any printable character and a tab is one that people use; NUL, CR, LF
    # and the rest of C0 are never meant.
    if _CONTROL.search(argument):
        reply = replies.BAD_PASSWORD if verb == "PASS" else replies.BAD_NAME
        return Violation(reply, False, verb, argument)
    return Command(verb, argument)


def _meant(line: bytes) -> tuple[str, str]:
    """Verb and argument of a line that is not taken, for the trail."""
    verb, _, argument = line.decode("utf-8", "surrogateescape").partition(" ")
    return (verb.upper(), argument) if verb.isascii() and verb.isalnum() else ("", "")
