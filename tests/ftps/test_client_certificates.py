"""Client certificates over real sockets, with real clients."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.fixtures.cast import password_of
from tests.fixtures.pki import Authority, authority, self_signed
from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve, ServedFtps
from tests.ftps.test_clients import Run, make_files, with_curl, with_lftp, with_rclone

#: A policy must reach the workers soon; operators wait twenty seconds.
QUICK = {"control_check_interval": 0.2}

POLICIES = {"acme": "instead", "globex": "required", "hooli": "allowed", "umbrella": "off"}


@pytest.fixture(scope="module")
def ca() -> Authority:
    return authority("Partners' CA")


@pytest.fixture(scope="module")
def ca_file(ca: Authority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("client-ca") / "ca.pem"
    path.write_text(ca.pem)
    return path


def set_policies(ftps: ServedFtps) -> ServedFtps:
    for partner, policy in POLICIES.items():
        ftps.query(
            "UPDATE securedrop_ftp_partner SET client_certificates = %s WHERE name = %s",
            policy,
            partner,
        )
    return ftps


@pytest.fixture
def certified(standing: Serve, ca_file: Path) -> ServedFtps:
    """A server that asks for certificates of ``ca``, with a partner for each policy."""
    return set_policies(standing(options={"tls_client_ca_file": ca_file, **QUICK}))


def rows_of(ftps: ServedFtps, event: str, account: str, after: int) -> list[dict[str, object]]:
    return [r for r in ftps.audit(event) if r["account"] == account and r["seq"] > after]


def last(ftps: ServedFtps) -> int:
    return max((int(row["seq"]) for row in ftps.audit()), default=0)


def test_a_certificate_logs_in_without_a_password(
    certified: ServedFtps, ca: Authority, tmp_path: Path
) -> None:
    pair, before = ca.issue("alice"), last(certified)
    with certified.connect(certificate=pair.save(tmp_path, "alice")) as client:
        assert client.reply_to("USER alice").startswith("232 ")
        assert client.reply_to("PASS whatever").startswith("202 ")
        client.prot_p()
        for number in range(4):
            assert client.upload(f"{number}.bin", os.urandom(200_000)).startswith("226")
        assert client.names() == [f"{number}.bin" for number in range(4)]
    (row,) = rows_of(certified, "login.succeeded", "alice", before)
    assert row["reason"] == f"certificate {pair.fingerprint} CN=alice,O=Test"
    assert str(row["reply"]).startswith("232 ")


def test_a_certificate_logs_in_under_tls_1_3(
    standing: Serve, ca: Authority, ca_file: Path, tmp_path: Path
) -> None:
    options = {"tls_client_ca_file": ca_file, "tls_profile": "modern"}
    ftps = set_policies(standing(options=options))
    pem = ca.issue("alice").save(tmp_path, "alice")
    with ftps.connect(certificate=pem, tls13=True) as client:
        assert client.reply_to("USER alice").startswith("232 ")


def test_a_wrong_certificate_is_asked_for_a_password_and_fails(
    certified: ServedFtps, ca: Authority, tmp_path: Path
) -> None:
    before = last(certified)
    for pair in (ca.issue("bob"), self_signed("alice")):
        with certified.connect(certificate=pair.save(tmp_path, "wrong")) as client:
            assert client.reply_to("USER alice").startswith("331 ")
            assert client.reply_to(f"PASS {password_of('alice')}") == "530 Login incorrect."
    first, second = rows_of(certified, "login.failed", "alice", before)
    assert "names another account; certificate " in str(first["reason"])
    assert "not trusted" in str(second["reason"])


def test_required_needs_the_certificate_and_the_password(
    certified: ServedFtps, ca: Authority, tmp_path: Path
) -> None:
    pair, before = ca.intermediate("Issuing CA").issue("globex gateway"), last(certified)
    with certified.connect() as client:
        assert client.reply_to("USER bob").startswith("331 ")
        assert client.reply_to(f"PASS {password_of('bob')}") == "530 Login incorrect."
    with certified.login("bob", certificate=pair.save(tmp_path, "gateway")) as client:
        assert client.upload("a.txt", b"hello").startswith("226")
        session = rows_of(certified, "login.succeeded", "bob", before)[0]["session"]
    (failed,) = rows_of(certified, "login.failed", "bob", before)
    (succeeded,) = rows_of(certified, "login.succeeded", "bob", before)
    assert failed["reason"] == "no client certificate"
    assert pair.fingerprint in str(succeeded["reason"])

    def logged() -> bool:
        closed = [e for e in certified.log_lines("session.closed") if e["session"] == session]
        return [e["certificate"] for e in closed] == [pair.fingerprint]

    wait_until(logged, "the session's log line")


def test_the_end_of_a_certificate_is_announced(
    certified: ServedFtps, ca: Authority, tmp_path: Path
) -> None:
    pair = ca.issue("x", days=12)
    with certified.login("erin", certificate=pair.save(tmp_path, "x")):
        pass
    (line,) = certified.log_lines("client_certificate.expires_soon")
    assert (line["partner"], line["account"]) == ("hooli", "erin")
    assert line["certificate"] == pair.fingerprint


@pytest.mark.parametrize("name", ["dave", "erin"])
def test_who_needs_no_certificate_logs_in_without_one(certified: ServedFtps, name: str) -> None:
    with certified.login(name) as client:
        client.names()


def test_a_partner_that_is_not_asked_may_show_anything(
    certified: ServedFtps, tmp_path: Path
) -> None:
    with certified.login("dave", certificate=self_signed("x").save(tmp_path, "x")) as client:
        client.names()


def test_curl_and_lftp_log_in_with_a_certificate(
    certified: ServedFtps, ca: Authority, tmp_path: Path
) -> None:
    pem = ca.issue("alice").save(tmp_path, "alice")
    source = tmp_path / "source"
    source.mkdir()
    for number in range(5):
        (source / f"{number}.bin").write_bytes(os.urandom(100_000 * number))
    names = ",".join(str(path) for path in sorted(source.iterdir()))
    done = subprocess.run(
        [
            "curl", "-sS", "--ssl-reqd", "--cacert", str(certified.ca), "--cert", str(pem),
            "--ftp-create-dirs", "-T", f"{{{names}}}", "--user", "alice:",
            f"ftp://127.0.0.1:{certified.port}/curl/",
        ],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = (f"set ssl:cert-file {pem}", f"set ssl:key-file {pem}")
    done = certified.lftp(f"{shown[0]}; {shown[1]}; mirror -R {source} /lftp")
    assert done.returncode == 0, done.stderr
    for path in source.iterdir():
        for client in ("curl", "lftp"):
            assert certified.stored(f"acme/{client}/{path.name}") == path.read_bytes()


@pytest.mark.parametrize("run", [with_curl, with_lftp, with_rclone])
def test_clients_without_certificates_store_every_file_while_they_are_asked_for_one(
    standing: Serve, ca_file: Path, tmp_path: Path, run: Run
) -> None:
    ftps = standing(options={"tls_client_ca_file": ca_file})
    source = make_files(tmp_path / "source", 12)
    done = run(ftps, source, run.__name__)
    assert done.returncode == 0, done.stderr
    for path in source.iterdir():
        assert ftps.stored(f"acme/{run.__name__}/{path.name}") == path.read_bytes()


def test_a_session_ends_once_its_certificate_is_revoked(
    certified: ServedFtps, ca: Authority, tmp_path: Path
) -> None:
    pair, before = ca.issue("x"), last(certified)
    update = "UPDATE securedrop_ftp_partner SET client_crl = %s WHERE name = 'globex'"
    with certified.login("bob", certificate=pair.save(tmp_path, "x")) as client:
        certified.query(update, ca.revoke(pair))
        assert client.final_reply().startswith("421")
    certified.query(update, "")
    wait_until(lambda: bool(rows_of(certified, "session.closed", "bob", before)), "the end")
    assert "revoked" in str(rows_of(certified, "session.closed", "bob", before)[0]["reason"])


def test_a_policy_reaches_running_workers(standing: Serve, ca: Authority, tmp_path: Path) -> None:
    """Nobody wanted certificates at start; then a partner does."""
    ftps = standing(options=QUICK)
    pem = ca.issue("alice").save(tmp_path, "alice")
    update = (
        "UPDATE securedrop_ftp_partner SET client_certificates = %s, client_ca = %s "
        "WHERE name = 'acme'"
    )

    def logged_in() -> bool:
        with ftps.connect(certificate=pem) as client:
            return client.reply_to("USER alice").startswith("232")

    assert not logged_in()
    ftps.query(update, "instead", ca.pem)
    wait_until(logged_in, "the policy")
    ftps.query(update, "off", "")
