"""Client certificates at login: what is right, what is refused and why, and whose it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ObjectIdentifier
from django.core.exceptions import ValidationError

from securedrop_ftp.access.certificates import (
    PeerCertificate,
    client_certificates_wanted,
    described,
    names_in,
    refusal_reason,
)
from securedrop_ftp.access.live import still_allowed
from securedrop_ftp.access.login import log_in, log_in_by_certificate
from securedrop_ftp.access.principal import Principal
from securedrop_ftp.access.provisioning import create_account
from securedrop_ftp.exceptions import LoginFailed
from securedrop_ftp.models import Account, AuditEvent, LoginAttempt, Partner
from tests.access.conftest import PASSWORD
from tests.fixtures.pki import SERVER, Authority, Pair, authority, self_signed

ADDRESS = "192.0.2.1"


@pytest.fixture(scope="module")
def ca() -> Authority:
    return authority("Acme CA")


def shown(pair: Pair) -> PeerCertificate:
    made = PeerCertificate.from_der(pair.der)
    assert made is not None
    return made


def ask(partner: Partner, policy: str, **values: Any) -> None:
    """Set the partner's policy."""
    partner.client_certificates = policy
    for name, value in values.items():
        setattr(partner, name, value)
    partner.save()


def enter(pair: Pair | None, password: str = PASSWORD, username: str = "alice") -> Principal:
    certificate = shown(pair) if pair else None
    return log_in(username, password, remote_ip=ADDRESS, session="s1", certificate=certificate)


def refusal(pair: Pair | None, password: str = PASSWORD) -> str:
    with pytest.raises(LoginFailed) as caught:
        enter(pair, password)
    return caught.value.reason


def enter_by_certificate(pair: Pair, username: str = "alice") -> Principal | None:
    return log_in_by_certificate(username, shown(pair), remote_ip=ADDRESS, session="s1")[0]


# --- policies ------------------------------------------------------------------------


def test_required_takes_the_password_with_the_certificate_of_the_partners_ca(
    account: Account, ca: Authority
) -> None:
    pair = ca.issue("anything")
    ask(account.partner, "required", client_ca=ca.pem)
    principal = enter(pair)
    assert principal.certificate is not None
    row = AuditEvent.objects.get(event="login.succeeded")
    assert pair.fingerprint in row.reason
    assert "CN=anything" in row.reason
    account.refresh_from_db()
    assert account.certificate_fingerprint == pair.fingerprint
    assert account.certificate_subject == "CN=anything,O=Test"
    assert account.certificate_not_after == pair.certificate.not_valid_after_utc


def test_required_refuses_who_shows_none_like_a_wrong_password(
    account: Account, ca: Authority, hashes: Counter[str]
) -> None:
    ask(account.partner, "required", client_ca=ca.pem)
    hashes.clear()
    assert refusal(None) == "no client certificate"
    assert hashes == Counter({"burnt": 1})  # the right password is not even looked at
    assert LoginAttempt.objects.filter(state="failed").count() == 1


def test_required_refuses_the_certificate_without_the_password(
    account: Account, ca: Authority
) -> None:
    ask(account.partner, "required", client_ca=ca.pem)
    assert refusal(ca.issue("alice"), "wrong") == "password"
    assert enter_by_certificate(ca.issue("alice")) is None


def test_wrong_certificates_lock_out_like_wrong_passwords(account: Account, ca: Authority) -> None:
    ask(account.partner, "required", client_ca=ca.pem)
    reasons = [refusal(None) for _ in range(6)]
    assert reasons[4:] == ["no client certificate", "locked"]


def test_allowed_takes_none_but_refuses_a_wrong_one(account: Account, ca: Authority) -> None:
    ask(account.partner, "allowed", client_ca=ca.pem)
    assert enter(None).certificate is None
    assert enter(ca.issue("x")).certificate is not None
    assert "not trusted" in refusal(authority("Other CA").issue("x"))


def test_off_looks_at_no_certificate(account: Account) -> None:
    assert enter(self_signed("anyone")).certificate is None
    account.refresh_from_db()
    assert account.certificate_fingerprint == ""


# --- instead of a password -----------------------------------------------------------


def test_instead_logs_the_named_account_in_without_a_password(
    account: Account, ca: Authority
) -> None:
    ask(account.partner, "instead", client_ca=ca.pem)
    principal = enter_by_certificate(ca.issue("alice"))
    assert principal is not None
    assert principal.username == "alice"
    assert AuditEvent.objects.filter(event="login.succeeded").count() == 1


def test_a_certificate_of_one_account_is_not_another_accounts(
    account: Account, ca: Authority
) -> None:
    create_account(account.partner, "anna", PASSWORD, "test")
    ask(account.partner, "instead", client_ca=ca.pem)
    annas = ca.issue("anna")
    assert enter_by_certificate(annas) is None
    assert "names another account" in refusal(annas)
    assert enter_by_certificate(annas, "anna") is not None


def test_instead_refuses_the_password_alone(account: Account, ca: Authority) -> None:
    ask(account.partner, "instead", client_ca=ca.pem)
    assert refusal(None) == "no client certificate"


def test_instead_ignores_a_password_that_is_sent_all_the_same(
    account: Account, ca: Authority
) -> None:
    ask(account.partner, "instead", client_ca=ca.pem)
    assert enter(ca.issue("alice"), "whatever").username == "alice"


def test_a_fingerprint_of_the_account_binds_whatever_the_name(
    account: Account, ca: Authority
) -> None:
    pair, other = self_signed("erp-17"), ca.issue("alice")
    account.client_fingerprints = pair.fingerprint
    account.save()
    ask(account.partner, "instead")
    assert enter_by_certificate(pair) is not None
    assert enter_by_certificate(other) is None


def test_a_locked_out_account_is_locked_out_for_its_certificate_too(
    account: Account, ca: Authority
) -> None:
    ask(account.partner, "instead", client_ca=ca.pem)
    for _ in range(6):
        refusal(None)
    assert enter_by_certificate(ca.issue("alice")) is None


@pytest.mark.parametrize("barred", ["account", "partner", "user"])
def test_instead_logs_nobody_in_who_is_disabled(
    account: Account, ca: Authority, barred: str
) -> None:
    ask(account.partner, "instead", client_ca=ca.pem)
    if barred == "user":
        account.user.is_active = False
        account.user.save()
    else:
        row: Any = account if barred == "account" else account.partner
        row.enabled = False
        row.save()
    assert enter_by_certificate(ca.issue("alice")) is None


def test_no_user_name_but_the_accounts_own_is_taken_from_the_certificate(
    account: Account, ca: Authority
) -> None:
    ask(account.partner, "instead", client_ca=ca.pem)
    for name in ("Alice", "alice ", "alicе", "alice.example", "nobody"):
        assert enter_by_certificate(ca.issue(name)) is None


UPN = ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")


@pytest.mark.parametrize(
    "alternative",
    [
        x509.RFC822Name("alice@acme.example"),
        x509.OtherName(UPN, b"\x0c\x12alice@acme.example"),
    ],
)
def test_an_email_or_a_principal_name_binds(
    partner: Partner, ca: Authority, alternative: x509.GeneralName
) -> None:
    create_account(partner, "alice@acme.example", PASSWORD, "test")
    ask(partner, "instead", client_ca=ca.pem)
    pair = ca.issue("Alice Liddell", alternatives=[alternative])
    assert enter_by_certificate(pair, "alice@acme.example") is not None


@pytest.mark.parametrize(
    "value", [b"", b"\x0c\x81\x80" + b"a" * 128, b"\x04\x05alice", b"\x0c\x02\xff\xfe"]
)
def test_a_broken_principal_name_names_nobody(ca: Authority, value: bytes) -> None:
    pair = ca.issue("x", alternatives=[x509.OtherName(UPN, value or b"\x05\x00")])
    assert names_in(pair.certificate) == {"x"}


# --- trust ---------------------------------------------------------------------------


def _why(account: Account, pair: Pair, now: datetime | None = None) -> str:
    return refusal_reason(account, shown(pair), now)


def test_an_intermediate_that_the_client_sends_is_followed(account: Account, ca: Authority) -> None:
    ask(account.partner, "required", client_ca=ca.pem)
    assert _why(account, ca.intermediate("Acme Issuing CA").issue("x")) == ""


def test_an_intermediate_is_anchor_enough(account: Account, ca: Authority) -> None:
    issuing = ca.intermediate("Acme Issuing CA")
    ask(account.partner, "required", client_ca=issuing.pem)
    assert _why(account, issuing.issue("x")) == ""
    assert "not trusted" in _why(account, ca.issue("x"))


WRONG: dict[str, Callable[[Authority], Pair]] = {
    "not trusted": lambda ca: authority("Acme CA").issue("x"),  # same name, another key
    "expired": lambda ca: ca.issue("x", days=-1),
    "not valid before": lambda ca: ca.issue("x", since_days=-2),
    "not for client authentication": lambda ca: ca.issue("x", purposes=SERVER),
    "weak key": lambda ca: ca.issue("x", key=rsa.generate_private_key(65537, 1024)),
    "too weak": lambda ca: ca.sign_again(ca.issue("x"), "sha1"),
    "intermediate": lambda ca: ca.intermediate("Web CA", SERVER).issue("x"),
}


@pytest.mark.parametrize("reason", WRONG)
def test_wrong_certificates_are_refused(account: Account, ca: Authority, reason: str) -> None:
    ask(account.partner, "required", client_ca=ca.pem)
    assert reason in _why(account, WRONG[reason](ca))


def test_a_certificate_is_not_its_own_ca(account: Account, ca: Authority) -> None:
    """A client that holds a leaf cannot issue with it."""
    leaf = ca.issue("x")
    forged = Authority(leaf.certificate, leaf.key, leaf.chain).issue("alice")
    ask(account.partner, "required", client_ca=ca.pem)
    assert "not trusted" in _why(account, forged)


def test_an_expired_ca_vouches_for_nobody(account: Account) -> None:
    old = authority("Old CA", days=-1)
    ask(account.partner, "required", client_ca=old.pem)
    assert "not trusted" in _why(account, old.issue("x"))


def test_fingerprints_alone_vouch_for_self_signed_certificates(account: Account) -> None:
    pinned = self_signed("x")
    ask(account.partner, "required", client_fingerprints=pinned.fingerprint)
    assert _why(account, pinned) == ""
    assert "not one of the fingerprints" in _why(account, self_signed("x"))
    later = datetime.now(UTC) + timedelta(days=100)
    assert "expired" in _why(account, pinned, later)


def test_fingerprints_beside_a_ca_narrow_it(account: Account, ca: Authority) -> None:
    one, two, foreign = ca.issue("one"), ca.issue("two"), self_signed("x")
    pins = f"{one.fingerprint}\n{foreign.fingerprint}"
    ask(account.partner, "required", client_ca=ca.pem, client_fingerprints=pins)
    assert _why(account, one) == ""
    assert "fingerprints" in _why(account, two)
    assert "not trusted" in _why(account, foreign)


def test_without_a_ca_of_its_own_a_partner_has_the_services(
    account: Account, ca: Authority, conf: Callable[..., None], tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    file.write_text(ca.pem)
    assert not client_certificates_wanted()
    conf(TLS_CLIENT_CA_FILE=str(file))
    assert client_certificates_wanted()
    ask(account.partner, "required")
    assert _why(account, ca.issue("x")) == ""
    assert "not trusted" in _why(account, self_signed("x"))
    file.unlink()
    assert "cannot be trusted" in _why(account, ca.issue("x"))


def test_handshakes_ask_where_a_partner_wants_certificates(partner: Partner, ca: Authority) -> None:
    assert not client_certificates_wanted()
    ask(partner, "allowed", client_ca=ca.pem)
    assert client_certificates_wanted()


# --- revocation ----------------------------------------------------------------------


def test_a_revoked_certificate_is_refused(account: Account, ca: Authority) -> None:
    good, bad = ca.issue("good"), ca.issue("bad")
    ask(account.partner, "required", client_ca=ca.pem, client_crl=ca.revoke(bad))
    assert _why(account, good) == ""
    assert "revoked" in _why(account, bad)


def test_a_revocation_list_that_is_out_of_date_lets_nobody_in(
    account: Account, ca: Authority
) -> None:
    crl = ca.revoke(next_update_days=-1)
    ask(account.partner, "required", client_ca=ca.pem, client_crl=crl)
    assert "CRL has expired" in _why(account, ca.issue("x"))


def test_a_forged_revocation_list_is_not_believed(account: Account, ca: Authority) -> None:
    crl = authority("Acme CA").revoke()
    ask(account.partner, "required", client_ca=ca.pem, client_crl=crl)
    assert "not trusted" in _why(account, ca.issue("x"))


def test_a_revoked_intermediate_vouches_for_nobody(account: Account, ca: Authority) -> None:
    issuing = ca.intermediate("Acme Issuing CA")
    lists = ca.revoke(issuing) + issuing.revoke()
    ask(account.partner, "required", client_ca=ca.pem, client_crl=lists)
    assert "revoked" in _why(account, issuing.issue("x"))


def test_a_pinned_certificate_can_be_revoked(account: Account, ca: Authority) -> None:
    pair = ca.issue("x")
    ask(account.partner, "required", client_fingerprints=pair.fingerprint)
    assert _why(account, pair) == ""
    ask(account.partner, "required", client_crl=ca.revoke(pair))
    assert "revoked" in _why(account, pair)


def test_a_session_ends_once_its_certificate_is_revoked(account: Account, ca: Authority) -> None:
    ask(account.partner, "required", client_ca=ca.pem)
    pair = ca.issue("x")
    principal = enter(pair)
    assert still_allowed([(principal, ADDRESS)]) == [None]
    ask(account.partner, "required", client_crl=ca.revoke(pair))
    (reason,) = still_allowed([(principal, ADDRESS)])
    assert reason is not None
    assert "revoked" in reason


def test_bytes_that_are_no_certificate_are_refused(account: Account, ca: Authority) -> None:
    ask(account.partner, "required", client_ca=ca.pem)
    certificate = PeerCertificate.from_der([b"\x30\x03junk"])
    assert certificate is not None
    assert "cannot be read" in refusal_reason(account, certificate)
    assert PeerCertificate.from_der([]) is None


# --- what operators write ------------------------------------------------------------


def _message(partner: Partner, field: str, **values: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        ask(partner, values.pop("policy", "off"), **values)
    return " ".join(caught.value.message_dict[field])


def test_fingerprints_are_normalised(partner: Partner) -> None:
    digest = "AB" * 32
    colons = ":".join(["AB"] * 32)
    text = f"sha256 Fingerprint={colons}\n\n{digest}\nSHA256:{digest.lower()}\n{'0' * 64}"
    ask(partner, "off", client_fingerprints=text)
    assert partner.client_fingerprints == f"{digest.lower()}\n{'0' * 64}"


@pytest.mark.parametrize("text", ["AB" * 20, "zz" * 32, f"{'ab' * 32}\nhello"])
def test_what_is_no_sha256_is_refused_with_its_line(partner: Partner, text: str) -> None:
    line = len(text.splitlines())
    assert f"Line {line} is not a SHA-256" in _message(
        partner, "client_fingerprints", client_fingerprints=text
    )


def test_a_private_key_is_refused(partner: Partner, ca: Authority, tmp_path: Path) -> None:
    text = ca.save(tmp_path, "ca").read_text()
    assert "private key" in _message(partner, "client_ca", client_ca=text)


def test_a_ca_must_be_one(partner: Partner, ca: Authority) -> None:
    assert "is not a CA certificate" in _message(partner, "client_ca", client_ca=ca.issue("x").pem)
    assert "No CA certificate" in _message(partner, "client_ca", client_ca="nonsense")


def test_a_revocation_list_must_be_one(partner: Partner, ca: Authority) -> None:
    assert "No revocation list" in _message(partner, "client_crl", client_crl=ca.pem)


def test_a_policy_that_nobody_could_meet_is_refused(partner: Partner) -> None:
    for policy in ("required", "instead"):
        text = _message(partner, "client_certificates", policy=policy)
        assert "No certificate could be right" in text


def test_a_partner_can_be_disabled_whatever_became_of_its_certificates(
    account: Account, ca: Authority, conf: Callable[..., None], tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    file.write_text(ca.pem)
    conf(TLS_CLIENT_CA_FILE=str(file))
    ask(account.partner, "required")
    conf(TLS_CLIENT_CA_FILE="")
    account.partner.enabled = False
    account.partner.save()


def test_the_pem_texts_are_described_for_people(partner: Partner, ca: Authority) -> None:
    ask(partner, "off", client_ca=ca.pem, client_crl=ca.revoke())
    first, second = described(partner)
    assert first.startswith("CA CN=Acme CA,O=Test, until ")
    assert second.startswith("revocation list of CN=Acme CA,O=Test, next due ")
