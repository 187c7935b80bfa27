"""Whatever keeps a client out: the reply, the session's last row, and the remedy in it name it."""

from __future__ import annotations

import ftplib
import io
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from securedrop_ftp import causes
from securedrop_ftp.causes import Cause
from tests.clients import FtpsClient
from tests.fixtures.cast import password_of
from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve, ServedFtps
from tests.ftps.why_not import (
    data_reply,
    handshake,
    in_the_clear,
    names,
    passive,
    told,
    witness,
)
from tests.security.test_trail_floods import BOUND, counted, most_rows

PROFILES = ("tls12", "modern")


@pytest.fixture(params=PROFILES)
def either(request: pytest.FixtureRequest, standing: Serve) -> ServedFtps:
    """A service on each TLS profile, with little patience."""
    options = {"tls_profile": request.param, "passive_timeout": 4, "handshake_timeout": 4}
    return standing(options=options)


@pytest.fixture
def ftps(standing: Serve) -> ServedFtps:
    """A service of this file's own: no other test's session ends there in the meantime."""
    return standing(options={"passive_timeout": 5})


def _tls13(ftps: ServedFtps) -> bool:
    return ftps.settings["TLS_PROFILE"] == "modern"


# --- before TLS ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "reply", "cause"),
    [
        (b"USER alice\r\n", "530 TLS is required", causes.NO_AUTH_TLS),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", "500 This is an FTP server", causes.SPOKE_SSH),
        (b"GET / HTTP/1.1\r\n", "500 This is an FTP server", causes.SPOKE_HTTP),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "500 No PROXY header", causes.PROXY_HEADER),
        (b"AUTH TLS\r\nUSER alice\r\n", "421 Input was pending", causes.INPUT_BEFORE_TLS),
    ],
    ids=lambda value: value.name if isinstance(value, Cause) else None,
)
def test_another_protocol_is_named(ftps: ServedFtps, line: bytes, reply: str, cause: Cause) -> None:
    with witness(ftps) as seen, in_the_clear(ftps) as sock:
        assert told(sock, line).startswith(reply)
    names(seen, cause)


def test_implicit_tls_is_named(ftps: ServedFtps) -> None:
    context = ssl.create_default_context()
    with (
        witness(ftps) as seen,
        socket.create_connection((ftps.host, ftps.port), 30) as sock,
        pytest.raises(ssl.SSLError, match=r"(?i)wrong.version.number|record"),
    ):
        context.wrap_socket(sock, server_hostname="x")
    names(seen, causes.IMPLICIT_TLS)


# --- the handshake -------------------------------------------------------------------------


def _only_old_ciphers(context: ssl.SSLContext) -> None:
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-SHA256:AES128-SHA")


def test_old_ciphers_are_named(either: ServedFtps) -> None:
    with witness(either) as seen:
        words = handshake(either, _only_old_ciphers).lower().replace("_", " ")
        assert "handshake failure" in words
    names(seen, causes.TLS_CIPHER)


def test_a_client_of_tls_1_3_alone_is_named_on_the_default_profile(ftps: ServedFtps) -> None:
    def only_new(context: ssl.SSLContext) -> None:
        context.minimum_version = ssl.TLSVersion.TLSv1_3

    with witness(ftps) as seen:
        assert "version" in handshake(ftps, only_new, tls13=True).lower()
    names(seen, causes.TLS_VERSION)


def test_tls_1_0_is_named(either: ServedFtps) -> None:
    body = b"\x03\x01" + os.urandom(32) + b"\0" + b"\0\x04\xc0\x14\xc0\x13" + b"\x01\0"
    hello = b"\x01" + len(body).to_bytes(3, "big") + body
    record = b"\x16\x03\x01" + len(hello).to_bytes(2, "big") + hello
    with witness(either) as seen, in_the_clear(either) as sock:
        assert told(sock, b"AUTH TLS\r\n").startswith("234")
        sock.sendall(record)
        assert sock.recv(4096)[:1] == b"\x15"  # an alert
    names(seen, causes.TLS_VERSION)
    assert seen.details["ja4"].startswith("t10i0200")


def test_a_client_that_distrusts_the_certificate_is_named(either: ServedFtps) -> None:
    with witness(either) as seen, in_the_clear(either) as sock:
        assert told(sock, b"AUTH TLS\r\n").startswith("234")
        context = ssl.create_default_context()
        with pytest.raises(ssl.SSLCertVerificationError):
            context.wrap_socket(sock, server_hostname="127.0.0.1")
    names(seen, causes.TLS_DISTRUSTED)


def test_a_client_that_hangs_up_in_the_handshake_is_named(either: ServedFtps) -> None:
    with witness(either) as seen, in_the_clear(either) as sock:
        assert told(sock, b"AUTH TLS\r\n").startswith("234")
        sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
    names(seen, causes.TLS_HUNG_UP)


def test_a_client_that_does_not_go_on_with_the_handshake_is_named(either: ServedFtps) -> None:
    with witness(either) as seen, in_the_clear(either) as sock:
        assert told(sock, b"AUTH TLS\r\n").startswith("234")
        assert sock.recv(1) == b""
    names(seen, causes.TLS_TIMEOUT)


def test_another_protocol_in_alpn_is_named(either: ServedFtps) -> None:
    with witness(either) as seen:
        handshake(either, lambda context: context.set_alpn_protocols(["h2"]), tls13=_tls13(either))
    names(seen, causes.TLS_ALPN)


# --- the login -----------------------------------------------------------------------------


def test_a_login_before_which_commands_come_is_named(ftps: ServedFtps) -> None:
    with witness(ftps) as seen, ftps.connect() as client:
        assert client.reply_to("STOR a").startswith("530")
    names(seen, causes.NOT_LOGGED_IN)


def test_a_wrong_password_is_named_to_the_operator_and_not_to_the_client(served: Serve) -> None:
    ftps = served()
    with witness(ftps) as seen, ftps.connect() as client:
        client.reply_to("USER alice")
        assert client.reply_to("PASS wrong") == "530 Login incorrect."
    names(seen, causes.LOGIN_PASSWORD)
    with witness(ftps) as seen, ftps.connect() as client:
        client.reply_to("USER alicia")
        assert client.reply_to("PASS wrong") == "530 Login incorrect."
    names(seen, causes.LOGIN_UNKNOWN)
    with witness(ftps) as seen, ftps.connect() as client:
        client.encoding = "latin-1"
        client.reply_to("USER alice")
        assert client.reply_to("PASS w\xf6rd") == "530 Login incorrect."
    names(seen, causes.LOGIN_PASSWORD_ENCODING)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (("account_set", "alice", "--enabled", "off"), causes.LOGIN_DISABLED),
        (("partner_set", "acme", "--enabled", "off"), causes.LOGIN_DISABLED),
        (("partner_rules", "acme", "add", "deny", "127.0.0.0/8"), causes.LOGIN_ADDRESS),
    ],
    ids=("account", "partner", "address"),
)
def test_what_an_operator_shut_is_named(
    served: Serve, change: tuple[str, ...], cause: Cause
) -> None:
    ftps = served()
    ftps.manage(*change)
    with witness(ftps) as seen, ftps.connect() as client:
        client.reply_to("USER alice")
        assert client.reply_to(f"PASS {password_of('alice')}") == "530 Login incorrect."
    names(seen, cause)


def test_a_lockout_is_named(served: Serve) -> None:
    ftps = served(options={"lockout_user_ip_limit": 2})
    for _ in range(2):
        with witness(ftps), suppress(ftplib.Error), ftps.connect() as client:
            client.login("alice", "wrong", secure=False)
    with witness(ftps) as seen, ftps.connect() as client:
        client.reply_to("USER alice")
        assert client.reply_to(f"PASS {password_of('alice')}") == "530 Login incorrect."
    names(seen, causes.LOGIN_LOCKED)


def test_too_many_sessions_and_a_missing_certificate_are_named(served: Serve) -> None:
    ftps = served()
    ftps.manage("partner_set", "acme", "--max-sessions", "1")
    with ftps.login("alice"):
        with witness(ftps) as seen, ftps.connect() as client:
            client.reply_to("USER alice")
            assert client.reply_to(f"PASS {password_of('alice')}").startswith("421 Too many")
        names(seen, causes.LOGIN_SESSIONS)
    pins = ftps.directory / "pins"
    pins.write_text("ab" * 32)
    ftps.manage(
        "partner_certificates", "globex", "--fingerprints", str(pins), "--policy", "required"
    )
    with witness(ftps) as seen, ftps.connect() as client:
        client.reply_to("USER bob")
        assert client.reply_to(f"PASS {password_of('bob')}") == "530 Login incorrect."
    names(seen, causes.LOGIN_CERTIFICATE_MISSING)


# --- the data channel ----------------------------------------------------------------------


def _transfer(client: FtpsClient, verb: str) -> None:
    if verb == "STOR":
        client.upload("a.txt", b"x" * 1000)
    elif verb == "RETR":
        client.download("there.txt")
    else:
        client.retrlines("LIST", lambda _: None)


@pytest.mark.parametrize("verb", ["STOR", "RETR", "LIST"])
def test_a_data_channel_that_does_not_resume_is_named(either: ServedFtps, verb: str) -> None:
    with witness(either), either.login("alice") as client:
        client.upload("there.txt", b"x")
    with witness(either) as seen, either.login("alice", tls13=_tls13(either)) as client:
        client.reuse_session = False
        with pytest.raises((ftplib.Error, OSError)):
            _transfer(client, verb)
    names(seen, causes.NOT_RESUMED)
    assert (seen.details.get("transfers"), seen.details.get("failed")) == (0, 1)
    assert (seen.row["partner"], seen.row["account"]) == ("acme", "alice")


@pytest.mark.parametrize(("verb", "event"), [("STOR", "upload."), ("RETR", "download.aborted")])
def test_the_row_names_it_also_where_the_client_does_not_wait_for_the_reply(
    either: ServedFtps, verb: str, event: str
) -> None:
    with witness(either), either.login("alice") as client:
        client.upload("there.txt", b"x")
    with witness(either) as seen, either.login("alice", tls13=_tls13(either)) as client:
        client.reuse_session = False
        client.voidcmd("TYPE I")
        with suppress(OSError), client.transfercmd(f"{verb} there.txt") as data:
            data.recv(1)  # its end
        client.close()
    names(seen, causes.NOT_RESUMED)
    rows = [row for row in either.audit() if row["session"] == seen.row["session"]]
    (row,) = [row for row in rows if row["event"].startswith(event)]
    assert "before that" in row["reason"]
    assert causes.NOT_RESUMED.happened in row["reason"]


def test_a_data_connection_without_tls_is_named(either: ServedFtps) -> None:
    with witness(either) as seen, either.login("alice") as client:
        address = passive(client)
        with socket.create_connection(address, 30) as plain:
            reply = data_reply(
                client, "STOR a.txt", lambda: plain.sendall(b"no TLS at all\r\n" * 9)
            )
        assert reply.startswith("425")
    names(seen, causes.DATA_HANDSHAKE)


def test_a_silent_data_connection_is_named(either: ServedFtps) -> None:
    with (
        witness(either) as seen,
        either.login("alice") as client,
        socket.create_connection(passive(client), 30),
    ):
        assert data_reply(client, "STOR a.txt", lambda: None).startswith("425")
    names(seen, causes.DATA_SILENT)


def test_a_data_connection_from_another_address_is_named(either: ServedFtps) -> None:
    with witness(either) as seen, either.login("alice") as client:
        address = passive(client)
        with socket.create_connection(address, 30, source_address=("127.0.0.2", 0)) as elsewhere:
            reply = data_reply(client, "STOR a.txt", lambda: elsewhere.sendall(b"\x16\x03\x01"))
        assert reply.startswith("425")
    names(seen, causes.OTHER_ADDRESS)


def test_a_data_connection_that_never_comes_is_named(either: ServedFtps) -> None:
    with witness(either) as seen, either.login("alice") as client:
        passive(client)
        assert data_reply(client, "STOR a.txt", lambda: None).startswith("425")
    names(seen, causes.NEVER_CAME)


def _in_the_clear(client: FtpsClient) -> str:
    client.reply_to("PBSZ 0")
    return client.reply_to("PROT C")


@pytest.mark.parametrize(
    ("say", "reply", "cause"),
    [
        (_in_the_clear, "534", causes.PROT_CLEAR),
        (lambda client: client.reply_to("EPSV"), "522", causes.NO_PROT_P),
        (lambda client: client.reply_to("PORT 127,0,0,1,4,1"), "502", causes.ACTIVE_MODE),
        (lambda client: client.reply_to("EPRT |1|127.0.0.1|1025|"), "502", causes.ACTIVE_MODE),
        (lambda client: client.reply_to("EPSV 2"), "522", causes.WRONG_FAMILY),
    ],
    ids=("prot-c", "no-prot-p", "PORT", "EPRT", "family"),
)
def test_a_data_channel_that_cannot_be_is_named(
    ftps: ServedFtps, say: Callable[[FtpsClient], str], reply: str, cause: Cause
) -> None:
    with witness(ftps) as seen, ftps.connect() as client:
        client.login("alice", password_of("alice"), secure=False)
        assert say(client).startswith(reply)
    names(seen, cause)


def test_a_transfer_without_pasv_is_named(ftps: ServedFtps) -> None:
    with witness(ftps) as seen, ftps.login("alice") as client:
        assert client.reply_to("STOR a.txt").startswith("425")
    names(seen, causes.NO_PASSIVE_COMMAND)


# --- transfers -----------------------------------------------------------------------------


def test_a_lost_data_connection_is_named(either: ServedFtps) -> None:
    with witness(either) as seen, either.login("alice") as client:
        assert client.truncated_upload("a.txt", b"x" * 100_000, "rst").startswith("426")
    names(seen, causes.CONNECTION_LOST)


def test_a_control_connection_lost_in_the_transfer_is_named(either: ServedFtps) -> None:
    with (
        witness(either) as seen,
        either.login("alice") as client,
        client.transfercmd("STOR a.txt") as data,
    ):
        data.sendall(b"x" * 100_000)
        client.close()
    names(seen, causes.CUT_BY_CONTROL)


def test_an_aborted_transfer_is_named(ftps: ServedFtps) -> None:
    with (
        witness(ftps) as seen,
        ftps.login("alice") as client,
        client.transfercmd("STOR a.txt") as data,
    ):
        data.sendall(b"x" * 100_000)
        assert client.reply_to("ABOR").startswith("426")
        client.final_reply()
    names(seen, causes.ABORTED)


def test_a_stall_is_named(served: Serve) -> None:
    ftps = served(options={"stall_window": 2})
    with (
        witness(ftps) as seen,
        ftps.login("alice") as client,
        client.transfercmd("STOR a.txt") as data,
    ):
        data.sendall(b"x")
        assert client.final_reply().startswith("426 Stalled")
    names(seen, causes.STALLED)


def test_what_a_mode_does_not_allow_is_named_and_denied(ftps: ServedFtps) -> None:
    with witness(ftps) as seen, ftps.login("carol") as client:
        client.upload("delivery.txt", b"x")
        with pytest.raises(ftplib.error_perm, match="550"):
            client.retrlines("LIST", lambda _: None)
    names(seen, causes.NOT_PERMITTED, "denied")
    assert (seen.details["transfers"], seen.details["failed"]) == (1, 1)


@pytest.mark.parametrize(
    ("commands", "cause"),
    [
        (("RETR missing.txt",), causes.NO_SUCH_FILE),
        (("REST 10", "STOR a.txt"), causes.BAD_OFFSET),
        (("STOR a\\b",), causes.BAD_NAME),
        (("STOR mistyped/a",), causes.NO_DIRECTORY),
    ],
    ids=lambda value: value.name if isinstance(value, Cause) else None,
)
def test_a_refused_transfer_is_named(
    ftps: ServedFtps, commands: tuple[str, ...], cause: Cause
) -> None:
    with witness(ftps) as seen, ftps.login("alice") as client:
        client.voidcmd("TYPE I")
        passive(client)
        replies = [client.reply_to(command) for command in commands]
        assert replies[-1][0] == "5"
    names(seen, cause)


def test_limits_of_the_partner_are_named(served: Serve) -> None:
    ftps = served()
    with witness(ftps), ftps.login("alice") as client:
        client.upload("there.txt", b"x")
    ftps.manage("partner_set", "acme", "--max-file-size", "1000", "--overwrite", "reject")
    with witness(ftps) as seen, ftps.login("alice") as client:
        client.voidcmd("TYPE I")
        with client.transfercmd("STOR big") as data, suppress(OSError):
            data.sendall(b"x" * 100_000)
        assert client.final_reply().startswith("552")
    names(seen, causes.TOO_LARGE)
    with witness(ftps) as seen, ftps.login("alice") as client:
        assert client.reply_to("ALLO 100000").startswith("552")
    names(seen, causes.TOO_LARGE)
    with witness(ftps) as seen, ftps.login("alice") as client:
        client.voidcmd("TYPE I")
        passive(client)
        assert client.reply_to("STOR there.txt").startswith("550")
    names(seen, causes.NAME_TAKEN)


@pytest.mark.parametrize(
    ("line", "outcome"),
    [("CWD newdir", "failure"), ("RNFR a.txt", "failure"), ("SIZE a.txt", "success")],
)
def test_what_a_client_gives_up_on_before_any_transfer_is_named(
    ftps: ServedFtps, line: str, outcome: str
) -> None:
    """curl does so at CWD, and at the SIZE of what it is to get. Who only asked was answered."""
    with witness(ftps) as seen, ftps.login("alice") as client:
        assert client.reply_to(line).startswith("550")
    names(seen, causes.NO_SUCH_FILE, outcome)


@pytest.mark.parametrize("target", ["-T", "-o"])
def test_curl_that_gives_up_is_told_to_the_operator(
    ftps: ServedFtps, tmp_path: Path, target: str
) -> None:
    local = tmp_path / "local.bin"
    local.write_bytes(b"x")
    with witness(ftps) as seen:
        curl = ["curl", "-sS", "--ssl-reqd", "--cacert", str(ftps.ca)]
        login = ["-u", f"alice:{password_of('alice')}", target, str(local)]
        address = f"ftp://{ftps.host}:{ftps.port}/nowhere/a.bin"
        assert subprocess.run([*curl, *login, address], stderr=subprocess.DEVNULL).returncode
    assert seen.causes == [causes.NO_SUCH_FILE.name], seen.row
    told = ftps.manage("doctor", "--partner", "acme", check=False)
    assert causes.NO_SUCH_FILE.name in told


def test_who_hangs_up_on_a_refusal_has_lost_nothing(ftps: ServedFtps) -> None:
    with witness(ftps) as seen:
        login = ftps.login("alice")
        client = login.__enter__()
        assert client.reply_to("CWD nowhere").startswith("550")
        client.close()
    assert seen.causes == [causes.NO_SUCH_FILE.name], seen.row


# --- what is no trouble --------------------------------------------------------------------


def test_who_finds_another_way_has_no_trouble(ftps: ServedFtps) -> None:
    with witness(ftps) as seen, ftps.login("alice") as client:
        assert client.reply_to("CWD new-way").startswith("550")
        assert client.reply_to("MKD new-way").startswith("257")
    assert (seen.row["reason"], seen.causes) == ("quit", [])


def test_a_session_that_gets_through_says_so(either: ServedFtps) -> None:
    with witness(either) as seen, either.login("alice", tls13=_tls13(either)) as client:
        assert client.reply_to("CLNT fetcher 1.2").startswith("200")
        client.reply_to("SIZE not-yet.txt")
        client.reply_to("MKD made")
        client.reply_to("MKD made")
        client.upload("a.txt", b"x")
        client.names()
    assert seen.row["outcome"] == "success"
    assert seen.row["reason"] == "quit"
    assert seen.causes == []
    details = seen.details
    assert (details["transfers"], details["failed"]) == (2, 0)
    assert details["client"] == "fetcher 1.2"
    assert details["tls"] == ("TLSv1.3" if _tls13(either) else "TLSv1.2")
    assert "AES" in details["cipher"] or "CHACHA20" in details["cipher"]
    assert details["ja4"].startswith("t13" if _tls13(either) else "t12")


def test_a_first_try_that_is_mended_is_told_and_is_no_failure(ftps: ServedFtps) -> None:
    with witness(ftps) as seen, ftps.connect() as client:
        client.login("alice", password_of("alice"), secure=False)
        assert _in_the_clear(client).startswith("534")
        client.prot_p()
        client.storbinary("STOR a.txt", io.BytesIO(b"x"))
        client.quit()
    assert seen.causes == [causes.PROT_CLEAR.name]
    assert seen.row["outcome"] == "success"


def test_what_a_client_calls_itself_is_bounded_and_inert(ftps: ServedFtps) -> None:
    with witness(ftps) as seen, ftps.login("alice") as client:
        assert client.reply_to("CLNT " + "x" * 1000).startswith("200")
        assert client.reply_to("CLNT \x1b[2Jred").startswith("501")
        assert client.reply_to("CLNT a\u202eb" + "y" * 500).startswith("200")
    assert seen.details["client"] == "a\\u202eb" + "y" * 97
    (line,) = [line for line in ftps.log_lines("session.closed") if line["seq"] == seen.row["seq"]]
    assert line["client"] == seen.details["client"]
    assert (line["partner"], line["account"]) == ("acme", "alice")


def test_a_flood_of_strangers_leaves_no_more_rows_than_the_bound_and_is_counted_by_cause(
    served: Serve,
) -> None:
    ftps = served(workers=2, options=BOUND)
    began = time.monotonic()
    for _ in range(80):
        with in_the_clear(ftps) as sock:
            assert told(sock, b"SSH-2.0-x\r\n").startswith("500")
    wait_until(lambda: bool(ftps.audit("session.closed")), "the first rows")
    ftps.stop()
    rows = len(ftps.audit("session.closed"))
    assert rows == len(ftps.audit("session.opened"))
    assert 2 * rows <= most_rows(began)
    assert rows + counted(ftps) == 80
    assert (
        "connection without a login (control.ssh) " in ftps.audit("refusals.counted")[-1]["reason"]
    )


def test_the_most_frequent_cause_comes_first(ftps: ServedFtps) -> None:
    with witness(ftps) as seen, ftps.login("alice") as client:
        client.reply_to("STOR a")
        for name in ("b", "c"):
            passive(client)
            client.reply_to(f"RETR {name}")
    assert seen.causes == [causes.NO_SUCH_FILE.name, causes.NO_PASSIVE_COMMAND.name]
    assert [t["count"] for t in seen.details["troubles"]] == [2, 1]
    assert seen.row["reason"].startswith("quit; 3 of 3 transfers failed; transfer.no-such-file 2")
