"""A login that is refused: the client reads one answer, the session's last row the cause."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from securedrop_ftp import causes
from securedrop_ftp.causes import Cause
from tests.fixtures.cast import password_of
from tests.fixtures.pki import SERVER, Authority, Pair, authority, self_signed
from tests.fixtures.served import Serve, ServedFtps
from tests.ftps.why_not import names, witness

INCORRECT = "530 Login incorrect."


def _answer(ftps: ServedFtps, **options: object) -> str:
    with ftps.connect(**options) as client:
        client.reply_to("USER alice")
        return client.reply_to(f"PASS {password_of('alice')}")


@pytest.fixture(scope="module")
def ca() -> Authority:
    return authority("Partners' CA")


@pytest.fixture(params=["tls12", "modern"])
def certified(request: pytest.FixtureRequest, served: Serve, ca: Authority) -> ServedFtps:
    """A service on each TLS profile whose partner acme must show a certificate of ``ca``."""
    ftps = served(options={"tls_profile": request.param, "lockout_user_ip_limit": 50}, start=False)
    ftps.query(
        "UPDATE securedrop_ftp_partner SET client_certificates = 'required', client_ca = %s "
        "WHERE name = 'acme'",
        ca.pem,
    )
    return ftps.start()


_SHOWN: dict[str, tuple[Callable[[Authority], Pair], Cause]] = {
    "expired": (lambda ca: ca.issue("alice", days=-1), causes.LOGIN_CERTIFICATE_EXPIRED),
    "not yet": (lambda ca: ca.issue("alice", since_days=-1), causes.LOGIN_CERTIFICATE_EXPIRED),
    "of nobody": (lambda ca: self_signed("alice"), causes.LOGIN_CERTIFICATE_WRONG),
    "of another CA": (lambda ca: authority("X").issue("alice"), causes.LOGIN_CERTIFICATE_WRONG),
    "for servers": (
        lambda ca: ca.issue("alice", purposes=SERVER),
        causes.LOGIN_CERTIFICATE_WRONG,
    ),
    "under an expired CA": (
        lambda ca: ca.intermediate("Old CA", days=-1).issue("alice"),
        causes.LOGIN_CERTIFICATE_EXPIRED,
    ),
}


def test_a_certificate_that_is_not_right_is_named(
    certified: ServedFtps, ca: Authority, tmp_path: Path
) -> None:
    tls13 = certified.settings["TLS_PROFILE"] == "modern"
    for what, (make, cause) in _SHOWN.items():
        shown = make(ca).save(tmp_path, what)
        with witness(certified) as seen:
            assert _answer(certified, certificate=shown, tls13=tls13) == INCORRECT, what
        names(seen, cause)
        (failed,) = [
            row for row in certified.audit("login.failed") if row["session"] == seen.row["session"]
        ]
        assert failed["reason"].startswith("client certificate "), what


def test_a_certificate_that_is_revoked_is_named(
    certified: ServedFtps, ca: Authority, tmp_path: Path
) -> None:
    pair = ca.issue("alice")
    certified.query(
        "UPDATE securedrop_ftp_partner SET client_crl = %s WHERE name = 'acme'", ca.revoke(pair)
    )
    with witness(certified) as seen:
        assert _answer(certified, certificate=pair.save(tmp_path, "revoked")) == INCORRECT
    names(seen, causes.LOGIN_CERTIFICATE_REVOKED)


def test_a_revocation_list_that_is_too_old_is_not_a_certificates_end(
    certified: ServedFtps, ca: Authority, tmp_path: Path
) -> None:
    """The partner's certificate is right; the operator's list is not."""
    certified.query(
        "UPDATE securedrop_ftp_partner SET client_crl = %s WHERE name = 'acme'",
        ca.revoke(next_update_days=-1),
    )
    with witness(certified) as seen:
        shown = ca.issue("alice").save(tmp_path, "good")
        assert _answer(certified, certificate=shown) == INCORRECT
    names(seen, causes.LOGIN_REVOCATION_LIST)


@pytest.mark.parametrize(
    ("change", "cause"),
    [("is_staff = (1 = 1)", causes.LOGIN_STAFF), ("is_active = (1 = 0)", causes.LOGIN_DISABLED)],
)
def test_a_user_who_may_not_log_in_is_named(served: Serve, change: str, cause: Cause) -> None:
    ftps = served()
    ftps.query(f"UPDATE auth_user SET {change} WHERE username = 'alice'")
    with witness(ftps) as seen:
        assert _answer(ftps) == INCORRECT
    names(seen, cause)


def test_too_many_failed_logins_of_an_address_are_named(served: Serve) -> None:
    ftps = served(options={"login_rate_per_ip": 1})
    with ftps.connect() as client:
        client.reply_to("USER alice")
        assert client.reply_to("PASS wrong") == INCORRECT
        with witness(ftps) as seen:
            client.reply_to("USER alice")
            assert client.reply_to("PASS wrong").startswith("421 Too many logins")
    assert causes.LOGIN_RATE.name in seen.causes
    assert seen.row["outcome"] == "failure"


def test_logins_from_a_locked_address_are_named(served: Serve) -> None:
    ftps = served(options={"lockout_ip_limit": 2})
    for name in ("alice", "bob"):
        with witness(ftps), ftps.connect() as client:
            client.reply_to(f"USER {name}")
            assert client.reply_to("PASS wrong") == INCORRECT
    with witness(ftps) as seen:
        assert _answer(ftps) == INCORRECT
    names(seen, causes.LOGIN_LOCKED)
