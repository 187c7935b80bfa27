"""Partners in admin, with their network rules."""

from __future__ import annotations

from django.test import Client
from django.urls import reverse

from securedrop_ftp.models import Account, AuditEvent, IPRule, Partner
from tests.fixtures.pki import authority

ADD = "admin:securedrop_ftp_partner_add"


def _form(**values: str) -> dict[str, str]:
    blank = {
        "name": "globex", "enabled": "on", "mode": "drop", "overwrite": "", "storage": "default",
        "prefix": "", "max_file_size": "", "max_sessions": "20", "max_passive_listeners": "20",
        "resume_window": "", "stall_window": "", "min_transfer_rate": "",
        "require_tls_session_reuse": "on", "client_certificates": "off",
        "ascii": "convert",
        "ip_rules-TOTAL_FORMS": "0", "ip_rules-INITIAL_FORMS": "0",
        "accounts-TOTAL_FORMS": "0", "accounts-INITIAL_FORMS": "0",
    }  # fmt: skip
    return {**blank, **values}


def _reasons() -> list[str]:
    rows = AuditEvent.objects.filter(event="partner.changed").order_by("seq")
    return list(rows.values_list("reason", flat=True))


def test_a_partner_is_made_with_its_network_rules(operator: Client) -> None:
    rule = {"action": "allow", "network": "192.0.2.0/24", "note": "head office"}
    form = _form(**{"ip_rules-TOTAL_FORMS": "1"} | {f"ip_rules-0-{k}": v for k, v in rule.items()})
    answer = operator.post(reverse(ADD), form)
    assert answer.status_code == 302, answer.content.decode()
    assert Partner.objects.get().prefix == "globex/"
    assert IPRule.objects.get().network == "192.0.2.0/24"
    assert _reasons() == ["created by olga (admin): added IP rule allow 192.0.2.0/24"]


def test_an_overlap_is_refused_with_a_sentence(operator: Client, partner: Partner) -> None:
    answer = operator.post(reverse(ADD), _form(prefix="acme/in"))
    assert "overlaps “acme/” of partner “acme”" in answer.content.decode()
    assert Partner.objects.count() == 1


def test_a_wrong_network_is_refused_with_a_sentence(operator: Client) -> None:
    rule = {"ip_rules-TOTAL_FORMS": "1", "ip_rules-0-action": "deny", "ip_rules-0-network": "10/8"}
    answer = operator.post(reverse(ADD), _form(**rule))
    assert "is not an address or a network" in answer.content.decode()
    assert Partner.objects.count() == 0


def test_disabling_a_partner_is_audited_with_who(operator: Client, account: Account) -> None:
    url = reverse("admin:securedrop_ftp_partner_change", args=(account.partner_id,))
    assert operator.get(url).status_code == 200
    form = _form(name="acme", prefix="acme/")
    del form["enabled"]
    form |= {
        "accounts-TOTAL_FORMS": "1",
        "accounts-INITIAL_FORMS": "1",
        "accounts-0-id": str(account.pk),
        "accounts-0-partner": str(account.partner_id),
    }
    answer = operator.post(url, form)
    assert answer.status_code == 302, answer.content.decode()
    assert not Partner.objects.get().enabled
    assert _reasons()[-1] == "changed by olga (admin): enabled: True → False"


def test_what_its_clients_need_is_set_and_audited(operator: Client, partner: Partner) -> None:
    change = reverse("admin:securedrop_ftp_partner_change", args=(partner.pk,))
    changed = {"accept_missing_close_notify": "on", "create_directories": "on"}
    form = _form(name="acme", prefix="acme/", ascii="refuse", **changed)
    assert operator.post(change, form).status_code == 302
    partner.refresh_from_db()
    assert (partner.ascii, partner.accept_missing_close_notify) == ("refuse", True)
    assert "ascii: convert → refuse" in _reasons()[-1]
    assert "accept_missing_close_notify: False → True" in _reasons()[-1]
    assert "create_directories: False → True" in _reasons()[-1]
    assert "CR LF of its own" in operator.get(change).content.decode()


def test_appending_needs_the_policy_that_replaces(operator: Client, partner: Partner) -> None:
    change = reverse("admin:securedrop_ftp_partner_change", args=(partner.pk,))
    for overwrite in ("reject", "version", ""):  # in drop mode: version
        form = _form(name="acme", prefix="acme/", mode="drop", overwrite=overwrite, append="on")
        answer = operator.post(change, form)
        assert answer.status_code == 200
        assert "it needs the overwrite policy “replace”" in answer.content.decode()
    form = _form(name="acme", prefix="acme/", overwrite="replace", append="on")
    assert operator.post(change, form).status_code == 302
    partner.refresh_from_db()
    assert partner.append
    assert "append: False → True" in _reasons()[-1]


def test_a_save_that_changes_nothing_leaves_no_row(operator: Client, partner: Partner) -> None:
    url = reverse("admin:securedrop_ftp_partner_change", args=(partner.pk,))
    before = _reasons()
    assert operator.post(url, _form(name="acme", prefix="acme/")).status_code == 302
    assert _reasons() == before


def test_a_partner_is_not_deleted(operator: Client, partner: Partner) -> None:
    url = reverse("admin:securedrop_ftp_partner_delete", args=(partner.pk,))
    assert operator.post(url, {"post": "yes"}).status_code == 403


def test_client_certificates_are_set_and_described(operator: Client, partner: Partner) -> None:
    ca = authority("Acme CA")
    form = _form(name="acme", prefix="acme/", client_certificates="required", client_ca=ca.pem)
    change = reverse("admin:securedrop_ftp_partner_change", args=(partner.pk,))
    answer = operator.post(change, form)
    assert answer.status_code == 302, answer.content.decode()
    partner.refresh_from_db()
    assert partner.client_certificates == "required"
    assert "CA CN=Acme CA,O=Test, until" in operator.get(change).content.decode()
    (reason,) = [r for r in _reasons() if "client_ca" in r]
    assert "BEGIN" not in reason
    assert "characters, SHA-256" in reason


def test_a_policy_that_nobody_could_meet_is_refused(operator: Client, partner: Partner) -> None:
    change = reverse("admin:securedrop_ftp_partner_change", args=(partner.pk,))
    answer = operator.post(
        change, _form(name="acme", prefix="acme/", client_certificates="instead")
    )
    assert "No certificate could be right" in answer.content.decode()
