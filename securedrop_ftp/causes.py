"""Why a partner's software does not get through: every cause, named once.

A :class:`Cause` says in plain words what happened and what cures it. Its name is stable: audit
rows, log lines, ``doctor --partner`` and the docs (``docs/howto/partner-cannot-connect.md``) use
it. A :class:`~securedrop_ftp.replies.Reply` that has one cause carries it; a session counts the
causes that it met (:class:`Troubles`) and tells them in its last row.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

CAUSES: Final[dict[str, Cause]] = {}


@dataclass(frozen=True, slots=True)
class Cause:
    """One cause.

    Attributes:
        name: ``area.what-happened``; stable.
        happened: a sentence for the operator.
        remedy: a sentence: what the partner can do, or the operator.
        command: what the operator may run; ``{partner}``, ``{account}`` and ``{address}`` stand for
            what the session had, words in capitals are the operator's to fill in. Empty where no
            setting changes it.
    """

    name: str
    happened: str
    remedy: str
    command: str = ""

    def __post_init__(self) -> None:
        if self.name in CAUSES:
            raise ValueError(f"there are two causes {self.name!r}")
        CAUSES[self.name] = self

    @property
    def area(self) -> str:
        """What it belongs to: ``control``, ``tls``, ``login``, ``data-channel``, ``transfer``,
        ``storage`` or ``service``."""
        return self.name.partition(".")[0]


class Troubles:
    """How often each cause was met. There are some dozens of causes, so it stays small, whatever
    a client does."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: Counter[str] | None = None  # most sessions have none

    def add(self, cause: Cause) -> None:
        """Count this cause once more."""
        if self._counts is None:
            self._counts = Counter()
        self._counts[cause.name] += 1

    def __bool__(self) -> bool:
        return self._counts is not None

    def most_common(self, number: int | None = None) -> list[tuple[Cause, int]]:
        """The most frequent first."""
        counts = self._counts.most_common(number) if self._counts is not None else []
        return [(CAUSES[name], count) for name, count in counts]


# --- the control connection ----------------------------------------------------------------

IMPLICIT_TLS = Cause(
    "control.implicit-tls",
    "The client began TLS at once (implicit FTPS), but this port speaks explicit FTPS.",
    "Choose “explicit FTP over TLS” (FTPES, AUTH TLS) in the client: curl ftp:// with --ssl-reqd, "
    "not ftps://.",
)
SPOKE_SSH = Cause(
    "control.ssh",
    "The client spoke SSH (SFTP) to an FTPS port.",
    "Choose FTP with explicit TLS in the client; SFTP is another protocol, which this service does "
    "not speak.",
)
SPOKE_HTTP = Cause(
    "control.http",
    "The client spoke HTTP to an FTPS port.",
    "Use an FTPS client. A load balancer's HTTP health check should be a TCP check.",
)
PROXY_HEADER = Cause(
    "control.proxy-header",
    "A PROXY header came from an address that is not a known balancer.",
    "Operator: name the balancer's address in SECUREDROP_PROXY_PROTOCOL_FROM, or switch its PROXY "
    "header off.",
)
NO_AUTH_TLS = Cause(
    "control.no-tls",
    "The client did not ask for TLS: commands came in the clear.",
    "Choose “require explicit FTP over TLS” in the client (curl --ssl-reqd, lftp "
    "“set ftp:ssl-force true”).",
)
INPUT_BEFORE_TLS = Cause(
    "control.input-before-tls",
    "Commands came behind AUTH TLS before the handshake (plaintext injection, or a client that "
    "does not wait).",
    "The client must wait for 234 before it goes on; a proxy that inspects FTP must be switched "
    "off.",
)
TOO_MANY_CONNECTIONS = Cause(
    "control.too-many-connections",
    "More connections than the service, or one address, may have.",
    "Close idle connections in the client, or use fewer at once. Operator: "
    "SECUREDROP_MAX_CONNECTIONS and SECUREDROP_MAX_CONNECTIONS_PER_IP.",
)
MADE_ROOM = Cause(
    "control.made-room",
    "The connection had not logged in when others needed its place.",
    "Log in at once after connecting, and try again.",
)
NO_LOGIN_IN_TIME = Cause(
    "control.no-login-in-time",
    "The client connected but did not log in in time.",
    "Look for a firewall or proxy that holds the connection back, and for a client that waits for "
    "a person to type a password.",
)
CONTROL_LOST = Cause(
    "control.lost",
    "The control connection broke without QUIT.",
    "Look for a NAT, firewall or proxy that drops idle connections (during long transfers the "
    "control connection is silent); switch keep-alive on in the client.",
)
IDLE = Cause(
    "control.idle",
    "The client said nothing for the idle time, and the session was closed.",
    "Log in anew for the next file, or have the client send NOOP. Operator: "
    "SECUREDROP_IDLE_TIMEOUT.",
)
TOO_OLD = Cause(
    "control.session-too-old",
    "The session reached its maximum age.",
    "Log in anew. Operator: SECUREDROP_MAX_SESSION_AGE.",
)
BAD_COMMANDS = Cause(
    "control.bad-commands",
    "The client sent line after line that is no FTP command, and the session was closed.",
    "Look whether the client speaks FTP, and whether a proxy on the way changes it.",
)
NOT_READING = Cause(
    "control.replies-not-read",
    "The client did not read its replies.",
    "The client must read a reply to each command; look for one that hangs.",
)
SERVICE_ENDED = Cause(
    "control.service-stopped",
    "The service was stopped or restarted.",
    "Connect again; nothing is wrong with the client.",
)
ENDED_BY_OPERATOR = Cause(
    "control.ended-by-operator",
    "An operator ended the session, or changed what let it in.",
    "Connect again, if the account may still log in; the row's reason says what was changed.",
)
OPERATION_TOO_LONG = Cause(
    "service.operation-too-long",
    "Something on our side (storage, database) took longer than the operation timeout.",
    "Operator: see doctor for storage and database; SECUREDROP_OPERATION_TIMEOUT.",
)
SERVICE_UNAVAILABLE = Cause(
    "service.unavailable",
    "The service could not serve: its database, its clock or a storage failed.",
    "Operator: run doctor. The client may try again later.",
)

# --- TLS on the control connection ---------------------------------------------------------

TLS_VERSION = Cause(
    "tls.version",
    "Client and server share no TLS version: the client's is older than TLS 1.2, or TLS 1.3 alone "
    "while the profile is tls12.",
    "Update the client or its TLS library to TLS 1.2 or newer. Operator, for clients of TLS 1.3 "
    "alone: SECUREDROP_TLS_PROFILE=modern.",
)
TLS_CIPHER = Cause(
    "tls.cipher",
    "Client and server share no cipher suite or key exchange group: the client offers only old "
    "ones.",
    "Update the client or its TLS library; it must know ECDHE with AES-GCM or ChaCha20-Poly1305.",
)
TLS_DISTRUSTED = Cause(
    "tls.certificate-distrusted",
    "The client refused the server's certificate (its alert says so).",
    "The client needs the issuing CA in its trust store, the host name that is in the certificate, "
    "and a right clock. Operator: doctor looks at the chain.",
)
TLS_ALPN = Cause(
    "tls.wrong-alpn",
    "The client offered another protocol than ftp in ALPN.",
    "Use an FTPS client, not a browser or a proxy for HTTP.",
)
TLS_HUNG_UP = Cause(
    "tls.client-hung-up",
    "The client hung up in the midst of the TLS handshake and did not say why; most clients do so "
    "when they do not trust the certificate.",
    "See the client's own log. It needs the issuing CA and the host name that is in the "
    "certificate; a firewall that inspects TLS hangs up, too.",
)
TLS_TIMEOUT = Cause(
    "tls.handshake-timeout",
    "The client sent AUTH TLS and did not finish the handshake in time.",
    "See the client's own log; look for a firewall that inspects FTP or drops large packets.",
)
TLS_FAILED = Cause(
    "tls.handshake-failed",
    "The TLS handshake failed; the row's reason has TLS's own words.",
    "See the client's own log, and update its TLS library.",
)

# --- the login -----------------------------------------------------------------------------

LOGIN_PASSWORD = Cause(
    "login.wrong-password",
    "The password was wrong.",
    "Give the client the right password; in UTF-8, if it has other letters than ASCII.",
    "account_set {account} --generate-password",
)
LOGIN_PASSWORD_ENCODING = Cause(
    "login.password-encoding",
    "The password came in another encoding than UTF-8.",
    "Switch the client to UTF-8, or give the account a password of ASCII letters.",
    "account_set {account} --generate-password",
)
LOGIN_UNKNOWN = Cause(
    "login.unknown-account",
    "There is no account of that name.",
    "Look for a typing error or a blank in the user name.",
    "account_list",
)
LOGIN_LOCKED = Cause(
    "login.locked",
    "The account or the address is locked out after too many wrong passwords; passwords are not "
    "looked at until that is over.",
    "Mend the client that uses an old password first, then wait, or lift the lockout.",
    "account_unlock {account}",
)
LOGIN_DISABLED = Cause(
    "login.disabled",
    "The account, its user or its partner is disabled.",
    "Enable it, if it may log in.",
    "partner_set {partner} --enabled on; account_set {account} --enabled on",
)
LOGIN_STAFF = Cause(
    "login.staff",
    "The user has become one of the operators' staff, who do not log in for files.",
    "Give the partner's software an account of its own.",
    "account_create {partner} NAME --generate-password",
)
LOGIN_ADDRESS = Cause(
    "login.address-not-allowed",
    "The partner's network rules do not allow the address.",
    "Ask the partner which addresses it comes from, and add a rule.",
    "partner_rules {partner} add allow {address}",
)
LOGIN_CERTIFICATE_MISSING = Cause(
    "login.certificate-missing",
    "The partner's accounts must show a TLS client certificate, and none came.",
    "Give the client its certificate and key (curl --cert and --key).",
    "partner_certificates {partner} --policy allowed",
)
LOGIN_CERTIFICATE_EXPIRED = Cause(
    "login.certificate-expired",
    "The client certificate has expired, or is not valid yet.",
    "The partner needs a new client certificate; the row's reason has the dates.",
)
LOGIN_CERTIFICATE_REVOKED = Cause(
    "login.certificate-revoked",
    "The client certificate is revoked.",
    "The partner needs a new client certificate.",
)
LOGIN_REVOCATION_LIST = Cause(
    "login.revocation-list",
    "The partner's revocation list is out of date, or there is none of the CA that issued the "
    "client certificate; until it is renewed no certificate is taken.",
    "Nothing is wrong with the client. Fetch the CA's newest list, and give it to the service.",
    "partner_certificates {partner} --crl FILE",
)
LOGIN_CERTIFICATE_WRONG = Cause(
    "login.certificate-wrong",
    "The client certificate is not one that this account may use; the row's reason says why.",
    "Give the client the right certificate, or tell the service of the new one: its CA or its "
    "fingerprint.",
    "partner_certificates {partner} --fingerprints FILE",
)
LOGIN_RATE = Cause(
    "login.rate",
    "Too many failed logins from the address in this minute.",
    "Mend the client that fails, and wait a minute.",
)
LOGIN_SESSIONS = Cause(
    "login.too-many-sessions",
    "The partner has as many sessions as it may have at once.",
    "Use fewer connections in the client, or close those that are not needed.",
    "partner_set {partner} --max-sessions N",
)
NOT_LOGGED_IN = Cause(
    "login.none",
    "The client sent a command that needs a login before it had logged in.",
    "The client must wait for 230 after PASS, and must not go on after 530.",
)

# --- the data channel ----------------------------------------------------------------------

NO_PROT_P = Cause(
    "data-channel.no-prot-p",
    "The client asked for a data channel without PBSZ 0 and PROT P.",
    "Switch the protection of data connections on in the client (lftp “set "
    "ftp:ssl-protect-data true”; Python ftplib: prot_p()).",
)
PROT_CLEAR = Cause(
    "data-channel.prot-c",
    "The client asked for data channels in the clear (PROT C).",
    "Switch the protection of data connections on in the client; nothing travels in the clear "
    "here.",
)
ACTIVE_MODE = Cause(
    "data-channel.active-mode",
    "The client asked for active mode (PORT or EPRT).",
    "Switch the client to passive mode.",
)
WRONG_FAMILY = Cause(
    "data-channel.wrong-family",
    "The client asked for a data channel in another address family than its control connection's.",
    "Have the client use EPSV without an argument, or the family of its control connection.",
)
ADDRESS_UNKNOWN = Cause(
    "data-channel.address-unknown",
    "PASV has no address to tell: the host name in SECUREDROP_FTPS_PASSIVE_ADDRESS was never "
    "found.",
    "Use EPSV in the client. Operator: mend the name; doctor looks it up.",
)
NO_PASSIVE_PORT = Cause(
    "data-channel.no-passive-port",
    "No passive port was free, or the partner has as many waiting as it may have.",
    "Use fewer connections at once. Operator: more ports in SECUREDROP_FTPS_PASSIVE_PORTS, or a "
    "higher limit for the partner.",
    "partner_set {partner} --max-passive-listeners N",
)
NO_PASSIVE_COMMAND = Cause(
    "data-channel.not-asked-for",
    "A transfer was asked for without PASV or EPSV before it.",
    "The client must send EPSV or PASV before each transfer.",
)
NOT_RESUMED = Cause(
    "data-channel.not-resumed",
    "The data channel did not resume the control connection's TLS session.",
    "Use a client that resumes it, or switch that on in the client (see the page of your client). "
    "Operator, if the partner cannot: let it off.",
    "partner_set {partner} --tls-session-reuse off",
)
OTHER_ADDRESS = Cause(
    "data-channel.other-address",
    "The data connection came from another address than the control connection, and did not resume "
    "its TLS session.",
    "The client's network has several ways out (a pair of proxies, carrier NAT): it must send both "
    "connections by the same one, or the client resume the control connection's own TLS session.",
)
NEVER_CAME = Cause(
    "data-channel.never-came",
    "No data connection reached the passive port.",
    "The partner's firewall must let the passive ports out. Operator: the firewall must let "
    "SECUREDROP_FTPS_PASSIVE_PORTS in, and SECUREDROP_FTPS_PASSIVE_ADDRESS must be the address "
    "that partners reach; doctor looks at both.",
)
DATA_SILENT = Cause(
    "data-channel.no-handshake",
    "A data connection came, but the client did not begin or finish TLS on it.",
    "Switch the protection of data connections on in the client (PROT P); look for a firewall that "
    "answers in the server's place.",
)
DATA_HANDSHAKE = Cause(
    "data-channel.handshake-failed",
    "The TLS handshake on the data channel failed.",
    "See the client's own log: it must trust the certificate for data channels as well, and offer "
    "the same TLS versions.",
)
TOO_MANY_HANDSHAKES = Cause(
    "data-channel.too-many-handshakes",
    "Too many data channels that resume no TLS session came from the address.",
    "Use a client that resumes the TLS session, or let the partner off.",
    "partner_set {partner} --tls-session-reuse off",
)

# --- transfers -----------------------------------------------------------------------------

NO_CLOSE_NOTIFY = Cause(
    "transfer.no-close-notify",
    "The client ended the upload without TLS close_notify: that looks like a cut line, and nothing "
    "was stored.",
    "Update the client, or close the TLS layer of the data channel before its socket. Operator, "
    "for a client that cannot but sends ALLO: let the partner off.",
    "partner_set {partner} --accept-missing-close-notify on",
)
CONNECTION_LOST = Cause(
    "transfer.connection-lost",
    "The data connection broke in the midst of the transfer.",
    "Try again, or resume. If it happens again and again, look for a firewall or NAT that cuts "
    "long connections, and for a full disk or a crash at the client.",
)
CUT_BY_CONTROL = Cause(
    "transfer.control-lost",
    "The control connection broke in the midst of the transfer.",
    "Look for a NAT or firewall that drops the silent control connection in long transfers; switch "
    "keep-alive on in the client.",
)
STALLED = Cause(
    "transfer.stalled",
    "Nothing, or too little, moved on the data channel, and the transfer was given up.",
    "Look at the client's line. Operator: the partner's stall window and minimum rate (admin site, "
    "partner, Limits).",
)
ABORTED = Cause(
    "transfer.aborted-by-client",
    "The client aborted the transfer (ABOR).",
    "Nothing to mend here; the client's log says why.",
)
OVERLAPPING = Cause(
    "transfer.overlapping",
    "The client began a transfer while another one ran in the same session.",
    "The client must wait for the reply, or open another session.",
)
ASCII_REFUSED = Cause(
    "transfer.ascii-refused",
    "The client sent a file in ASCII mode, which its partner does not use.",
    "Switch the client to binary (TYPE I).",
    "partner_set {partner} --ascii convert",
)
NOT_PERMITTED = Cause(
    "transfer.not-permitted",
    "The account may not do that: its partner's mode, or its own permissions, do not allow it.",
    "Use only what the partner's mode allows, or change the mode.",
    "partner_set {partner} --mode MODE",
)
NAME_TAKEN = Cause(
    "transfer.name-taken",
    "The name exists already, and the partner may not replace files.",
    "Send under another name, or change the policy.",
    "partner_set {partner} --overwrite version",
)
NO_SUCH_FILE = Cause(
    "transfer.no-such-file",
    "The file or directory is not there.",
    "Look at the path and at its upper and lower case; the account's own directory is “/”.",
)
NO_DIRECTORY = Cause(
    "transfer.no-directory",
    "A directory above the name is not there.",
    "Look at the path, or make the directory first (MKD; curl --ftp-create-dirs). Operator: have "
    "the partner's names make the directories above them.",
    "partner_set {partner} --create-directories on",
)
BAD_NAME = Cause(
    "transfer.bad-name",
    "A name is not valid UTF-8, or holds a character that is not allowed.",
    "Switch the client to UTF-8; leave out control characters and backslashes.",
)
BAD_OFFSET = Cause(
    "transfer.bad-offset",
    "The transfer was to be resumed at an offset that does not fit.",
    "Ask for SIZE and resume there, or send the whole file.",
)
BUSY = Cause(
    "transfer.busy",
    "Another session writes the same file.",
    "Try again later; do not send one file in two sessions.",
)
TOO_LARGE = Cause(
    "transfer.too-large",
    "The file is larger than the partner may send.",
    "Split the file, or raise the limit.",
    "partner_set {partner} --max-file-size BYTES",
)
STORAGE_FULL = Cause(
    "storage.full",
    "Storage is full or over its quota.",
    "Operator: make room; doctor says where.",
)
STORAGE_FAILED = Cause(
    "storage.failed",
    "Storage failed or did not answer.",
    "Operator: run doctor. The client may send the file again.",
)
STORAGE_REFUSED = Cause(
    "storage.refused",
    "Storage refused the request (permissions, no such bucket).",
    "Operator: run doctor.",
)
OUTCOME_PENDING = Cause(
    "storage.outcome-pending",
    "Storage did not say whether it has the file.",
    "Send the same file again: it is not stored twice.",
)
LOCAL_FAULT = Cause(
    "service.local-error",
    "Something failed on our side; the log has it.",
    "Operator: see the log and run doctor.",
)
