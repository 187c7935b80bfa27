"""Every FTP reply that has one meaning, named once (RFC 959 §4.2, RFC 2228, RFC 2428, RFC 3659).

Logic never writes a code and a text in its midst; it names a :class:`Reply`. Exceptions become
replies in :mod:`securedrop_ftp.ftps.answers`. ``reply.but("…")`` keeps the code and says more.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field, replace
from typing import Final

from securedrop_ftp import causes
from securedrop_ftp.causes import Cause

#: What ends a line or drives a terminal, and lone surrogates. No name of ours holds one of them
#: (:mod:`securedrop_ftp.keys`); every other character of a name can be sent back and means the same
#: file (RFC 959 appendix II, RFC 2640 §3): other blanks, joiners, soft hyphens.
_NEVER_SENT: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})


def on_one_line(text: str) -> str:
    """``text`` without what may not stand in a reply; a name in it is not changed."""
    if text.isprintable():
        return text
    return "".join("?" if unicodedata.category(c) in _NEVER_SENT else c for c in text)


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply: a three-digit code and one line of text.

    Attributes:
        cause: why, where the reply has one cause; whoever sends it counts that
            (:meth:`securedrop_ftp.ftps.interpreter.Interpreter.reply`).
    """

    code: int
    text: str
    cause: Cause | None = field(default=None, compare=False, repr=False)

    def but(self, text: str) -> Reply:
        """The same code with a text that says more."""
        return replace(self, text=text)

    def because(self, cause: Cause) -> Reply:
        """The same words with the cause that they have here."""
        return replace(self, cause=cause)

    @property
    def is_error(self) -> bool:
        """Whether the code is 4xx or 5xx."""
        return self.code >= 400

    def line(self) -> bytes:
        """The reply on the wire."""
        return f"{self.code} {on_one_line(self.text)}\r\n".encode()

    def __str__(self) -> str:
        return f"{self.code} {self.text}"


# 1xx, 2xx, 3xx
OPENING_DATA = Reply(150, "Opening the data channel.")
OK = Reply(200, "OK.")
NOOP_OK = Reply(200, "I am here.")
SUPERFLUOUS = Reply(202, "Not needed here; nothing was changed.")
GREETING = Reply(220, "securedrop_ftp ready. Explicit TLS is required: AUTH TLS.")
GOODBYE = Reply(221, "Goodbye.")
ABORTED = Reply(225, "ABOR done; no transfer is running.")
ABOR_DONE = Reply(226, "ABOR done.")
TRANSFER_COMPLETE = Reply(226, "Transfer complete.")
LOGGED_IN = Reply(230, "Logged in.")
LOGGED_IN_BY_CERTIFICATE = Reply(232, "Logged in by the client certificate.")
AUTH_OK = Reply(234, "AUTH TLS accepted; start the handshake.")
ACTION_OK = Reply(250, "Done.")
NEED_PASSWORD = Reply(331, "Send the password.")
NEED_RNTO = Reply(350, "Ready for RNTO.")
RESTART_AT = Reply(350, "Restarting at the given offset.")

# 4xx: try again
SERVICE_UNAVAILABLE = Reply(
    421, "Service not available; try again later.", causes.SERVICE_UNAVAILABLE
)
DRAINING = Reply(421, "The service is shutting down; connect again.", causes.SERVICE_ENDED)
TIMED_OUT = Reply(421, "Timed out; closing the connection.", causes.IDLE)
OPERATION_TIMED_OUT = Reply(421, "The operation took too long.", causes.OPERATION_TOO_LONG)
TOO_MANY_CONNECTIONS = Reply(
    421, "Too many connections; try again later.", causes.TOO_MANY_CONNECTIONS
)
TOO_MANY_FROM_ADDRESS = Reply(
    421, "Too many connections from your address.", causes.TOO_MANY_CONNECTIONS
)
MADE_ROOM = Reply(
    421, "No login yet, and all connections are taken; connect again.", causes.MADE_ROOM
)
TOO_MANY_SESSIONS = Reply(
    421, "Too many sessions of this partner; try again later.", causes.LOGIN_SESSIONS
)
NO_STORAGE = Reply(
    421,
    "Service not available: the partner's storage cannot be used. Try again later, or tell the "
    "operator.",
    causes.SERVICE_UNAVAILABLE,
)
TOO_MANY_LOGINS = Reply(421, "Too many logins from your address; wait a minute.", causes.LOGIN_RATE)
SESSION_ENDED = Reply(421, "The session was ended by the operator.", causes.ENDED_BY_OPERATOR)
UNENCRYPTED_INPUT = Reply(421, "Input was pending behind AUTH; closing.", causes.INPUT_BEFORE_TLS)
NO_DATA_CHANNEL = Reply(
    425, "The data channel could not be opened; send PASV or EPSV again.", causes.NEVER_CAME
)
NO_PASSIVE_PORT = Reply(425, "No passive port is free; try again later.", causes.NO_PASSIVE_PORT)
DATA_FROM_ELSEWHERE = Reply(
    425,
    "The data connection came from another address than the control connection.",
    causes.OTHER_ADDRESS,
)
DATA_SILENT = Reply(
    425, "A data connection came, but no TLS handshake on it in time.", causes.DATA_SILENT
)
DATA_HANDSHAKE_FAILED = Reply(
    425, "The TLS handshake on the data channel failed.", causes.DATA_HANDSHAKE
)
TRANSFER_ABORTED = Reply(
    426,
    "The data channel closed before the file was whole; nothing was stored.",
    causes.CONNECTION_LOST,
)
CUT = Reply(
    426,
    "The service is shutting down and ended the transfer; connect again and resume it.",
    causes.SERVICE_ENDED,
)
DOWNLOAD_ABORTED = Reply(426, "The transfer ended before all was sent.", causes.CONNECTION_LOST)
BUSY = Reply(450, "The file is being written by another session; try again later.", causes.BUSY)
LOCAL_ERROR = Reply(451, "Local error; nothing was stored. Try again later.", causes.LOCAL_FAULT)
NOT_NOW = Reply(
    451,
    "The service cannot answer that for the moment; try again later.",
    causes.SERVICE_UNAVAILABLE,
)
OUTCOME_PENDING = Reply(
    451,
    "Outcome pending: storage did not confirm. Send the file again; it is not stored twice.",
    causes.OUTCOME_PENDING,
)
NAME_PENDING = Reply(
    451,
    "Outcome pending: storage did not confirm. It is settled within minutes; look at the name "
    "before you try again.",
    causes.OUTCOME_PENDING,
)
STORAGE_UNAVAILABLE = Reply(
    451, "Storage is not available; nothing was stored. Try again later.", causes.STORAGE_FAILED
)
STORAGE_FULL = Reply(452, "Storage is full or over its quota.", causes.STORAGE_FULL)

# 5xx: do not
NOT_UNDERSTOOD = Reply(500, "Command not understood.")
LINE_TOO_LONG = Reply(500, "The line is too long.")
BAD_ARGUMENT = Reply(501, "The argument is missing or not valid.")
BAD_NAME = Reply(
    501, "The name is not valid UTF-8 or holds a character that is not allowed.", causes.BAD_NAME
)
BAD_PASSWORD = Reply(501, "The password holds a character that is not allowed.")
NOT_IMPLEMENTED = Reply(502, "Not implemented.")
BAD_SEQUENCE = Reply(503, "Bad sequence of commands.")
TRANSFER_RUNNING = Reply(503, "A transfer is running; wait for its reply.", causes.OVERLAPPING)
BAD_PARAMETER = Reply(504, "Not implemented for that parameter.")
ASCII_REFUSED = Reply(
    504, "Files go under TYPE I (binary) here; send TYPE I first.", causes.ASCII_REFUSED
)
PROTOCOL_UNSUPPORTED = Reply(522, "Network protocol not supported.", causes.WRONG_FAMILY)
LOGIN_FAILED = Reply(530, "Login incorrect.")
LOG_IN_FIRST = Reply(530, "Log in with USER and PASS first.", causes.NOT_LOGGED_IN)
TLS_REQUIRED = Reply(530, "TLS is required: send AUTH TLS first.", causes.NO_AUTH_TLS)
PROT_REFUSED = Reply(534, "Only PROT P is allowed: data travels encrypted.", causes.PROT_CLEAR)
PROT_REQUIRED = Reply(
    522, "The data channel must be encrypted: send PBSZ 0 and PROT P first.", causes.NO_PROT_P
)
#: RFC 4217 §10.2 has 522 for it ("the server requires TLS session reuse").
NOT_YOUR_SESSION = Reply(
    522,
    "Data connection refused: your client opened it with a TLS session of its own, and this "
    "service requires it to resume the control connection's. Switch TLS session reuse (resumption) "
    "on in the client, or ask the operator to let your account off it. Nothing was transferred.",
    causes.NOT_RESUMED,
)
PROT_LEVEL_UNSUPPORTED = Reply(536, "That protection level is not supported.")
NO_SUCH_FILE = Reply(550, "No such file or directory.", causes.NO_SUCH_FILE)
NO_DIRECTORY = Reply(550, "A directory above that name is not there.", causes.NO_DIRECTORY)
NO_PERMISSION = Reply(550, "Not permitted.", causes.NOT_PERMITTED)
ALREADY_EXISTS = Reply(550, "That name exists already; choose another.", causes.NAME_TAKEN)
#: To RNTO, to which RFC 959 §5.4 gives 553 and no 550.
TARGET_EXISTS = Reply(553, "That name exists already; choose another.", causes.NAME_TAKEN)
NO_SIZE_IN_ASCII = Reply(
    550, "Under TYPE A the size is not known before the file is sent; send TYPE I first."
)
NOT_A_DIRECTORY = Reply(550, "Not a directory.")
IS_A_DIRECTORY = Reply(550, "That is a directory.")
DIRECTORY_NOT_EMPTY = Reply(550, "The directory is not empty.")
STORAGE_REFUSED = Reply(550, "Storage refused the request.", causes.STORAGE_REFUSED)
TOO_LARGE = Reply(552, "The file is larger than this service takes.", causes.TOO_LARGE)
INTO_ITSELF = Reply(553, "A directory cannot be moved into itself.")
BAD_OFFSET = Reply(554, "The restart offset does not fit.", causes.BAD_OFFSET)
NO_RESTART_IN_ASCII = Reply(
    554, "Under TYPE A a file goes from its first byte; send TYPE I first.", causes.BAD_OFFSET
)
