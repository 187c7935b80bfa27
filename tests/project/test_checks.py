"""Every bad value is named, with an id that stays and a hint that mends it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks

from securedrop_ftp.checks import exposure_problems, value_problems
from securedrop_ftp.checks.libraries import check_libraries
from securedrop_ftp.checks.partners import check_partners
from securedrop_ftp.checks.values import check_secret_key, check_storages
from securedrop_ftp.conf import Conf
from securedrop_ftp.models import Partner
from securedrop_ftp.tls import openssl


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, []),
        ({"FTPS_BIND": "[::]:21", "FTPS_PASSIVE_PORTS": "50000"}, []),
        ({"IDLE_TIMEOUT": 5}, []),
        ({"DATA_DIR": "/var/lib/x"}, []),
        ({"IDLE_TIMEOUTS": 5.0}, ["E001"]),
        ({"FTPS_WORKERS": "two"}, ["E002"]),
        ({"FTPS_WORKERS": True}, ["E002"]),
        ({"DISK_SPOOL": "maybe"}, ["E002"]),
        ({"FTPS_BIND": 2121}, ["E002"]),
        ({"FTPS_WORKERS": -1}, ["E003"]),
        ({"IDLE_TIMEOUT": 0.0}, ["E003"]),
        ({"CONTROL_CHECK_INTERVAL": 61.0}, ["E003"]),
        ({"TLS_PROFILE": "old"}, ["E004"]),
        ({"LOG_FORMAT": "xml"}, ["E004"]),
        ({"FTPS_BIND": "2121"}, ["E005"]),
        ({"FTPS_BIND": "127.0.0.1:ftp"}, ["E005"]),
        ({"FTPS_BIND": "127.0.0.1:65536"}, ["E005"]),
        ({"FTPS_PASSIVE_PORTS": "6000-5000"}, ["E006"]),
        ({"FTPS_PASSIVE_PORTS": "0-10"}, ["E006"]),
        ({"FTPS_PASSIVE_PORTS": "65000-66000"}, ["E006"]),
        ({"FTPS_PASSIVE_PORTS": "many"}, ["E006"]),
        ({"FTPS_PASSIVE_ADDRESS": "192.0.2.1"}, []),
        ({"FTPS_PASSIVE_ADDRESS": "ftp-1.example.com"}, []),
        ({"FTPS_PASSIVE_ADDRESS": "localhost"}, []),
        ({"FTPS_PASSIVE_ADDRESS": "ftp.example.com:21"}, ["E007"]),
        ({"FTPS_PASSIVE_ADDRESS": "ftp://ftp.example.com"}, ["E007"]),
        ({"FTPS_PASSIVE_ADDRESS": "ftp example"}, ["E007"]),
        ({"FTPS_PASSIVE_ADDRESS": "-ftp.example"}, ["E007"]),
        ({"FTPS_PASSIVE_ADDRESS": "ftp..example"}, ["E007"]),
        ({"FTPS_PASSIVE_ADDRESS": "192.0.2"}, ["E007"]),
        ({"FTPS_PASSIVE_ADDRESS": "192.0.2.256"}, ["E007"]),
        ({"FTPS_PASSIVE_ADDRESS": "0.0.0.0"}, ["E007"]),
        ({"FTPS_PASSIVE_ADDRESS": "255.255.255.255"}, ["E007"]),
        ({"FTPS_PASSIVE_ADDRESS": "224.0.0.1"}, ["E007"]),
        ({"FTPS_PASSIVE_DIRECT_FROM": "inside"}, ["E013"]),
        ({"FTPS_PASSIVE_ADDRESS": "2001:db8::1"}, ["E007"]),
        ({"PROXY_PROTOCOL_FROM": "192.0.2.10, 10.0.0.0/8,2001:db8::/64,"}, []),
        ({"PROXY_PROTOCOL_FROM": "the balancer"}, ["E013"]),
        ({"PROXY_PROTOCOL_FROM": "10.0.0.1/8"}, ["E013"]),
        ({"PROXY_PROTOCOL_FROM": "0.0.0.0/0"}, ["W014"]),
        ({"PROXY_PROTOCOL_FROM": "::/0,192.0.2.10"}, ["W014"]),
        ({"PROXY_PROTOCOL_FROM": "::ffff:0:0/96"}, ["W014"]),
        ({"PROXY_PROTOCOL_FROM": "0.0.0.0/1,128.0.0.0/1"}, ["W014"]),
        ({"HEALTH_CHECK_FROM": "10.0.0"}, ["E013"]),
        ({"HEALTH_CHECK_FROM": "::/0"}, ["W014"]),
        ({"PART_SIZE": 60 * 2**20}, ["E008", "E008"]),
        ({"FAULT_STEP": "commit.after"}, ["W009"]),
    ],
)
def test_a_bad_value_has_its_own_id(values: dict[str, Any], expected: list[str]) -> None:
    problems = value_problems(values)
    assert [p.id for p in problems] == [f"securedrop.{e}" for e in expected]
    assert all(p.hint for p in problems)


def test_a_misspelt_setting_gets_the_right_name_as_its_hint() -> None:
    (problem,) = value_problems({"FTPS_WORKER": 2})
    assert problem.hint == "Did you mean SECUREDROP_FTPS_WORKERS?"


def test_a_missing_secret_key_is_an_error(settings: Any) -> None:
    assert check_secret_key() == []
    settings.SECRET_KEY = ""
    assert [p.id for p in check_secret_key()] == ["securedrop.E010"]


def test_a_storage_that_cannot_be_loaded_is_an_error(settings: Any) -> None:
    settings.STORAGES = {"archive": {"BACKEND": "no.such.Storage"}}
    assert [p.id for p in check_storages()] == ["securedrop.E011", "securedrop.E012"]


@pytest.mark.parametrize(
    ("bind", "expected"),
    [
        ("127.0.0.1:21", []),
        ("[::1]:21", []),
        ("localhost:21", []),
        ("0.0.0.0:21", ["securedrop.E030"]),
        ("[::]:21", ["securedrop.E030"]),
        ("ftp.example:21", ["securedrop.E030"]),
    ],
)
def test_demo_accounts_stay_on_loopback(tmp_path: Path, bind: str, expected: list[str]) -> None:
    conf = Conf(data_dir=tmp_path, ftps_bind=bind)
    assert exposure_problems(conf) == []
    (tmp_path / "demo.json").write_text("{}")
    assert [p.id for p in exposure_problems(conf)] == expected


@pytest.mark.django_db
def test_a_partner_without_session_reuse_is_a_warning() -> None:
    Partner.objects.create(name="acme")
    assert check_partners(databases=["default"]) == []
    Partner.objects.update(require_tls_session_reuse=False)
    (problem,) = check_partners(databases=["default"])
    assert problem.id == "securedrop.W031"
    assert "acme" in problem.msg


@pytest.mark.django_db
def test_partners_whose_files_may_change_or_end_unseen_are_warnings() -> None:
    Partner.objects.create(name="acme", ascii="as-sent")
    Partner.objects.create(name="globex", accept_missing_close_notify=True)
    Partner.objects.create(name="asleep", ascii="as-sent", enabled=False)
    as_sent, let_off = check_partners(databases=["default"])
    assert (as_sent.id, let_off.id) == ("securedrop.W034", "securedrop.W035")
    assert "acme." in as_sent.msg
    assert "asleep" not in as_sent.msg
    assert "globex" in let_off.msg


@pytest.mark.django_db
def test_a_partner_whose_storage_is_gone_is_an_error() -> None:
    Partner.objects.create(name="acme")
    Partner.objects.update(storage="archive")
    assert [p.id for p in check_partners(databases=["default"])] == ["securedrop.E032"]


@pytest.mark.django_db
def test_the_checks_are_registered_with_django(settings: Any) -> None:
    settings.SECUREDROP = {"FTPS_BIND": "nowhere", "DATA_DIR": Path("/x")}
    Partner.objects.create(name="acme", require_tls_session_reuse=False)
    found = {p.id for p in run_checks(include_deployment_checks=True, databases=["default"])}
    assert {"securedrop.E005", "securedrop.W031"} <= found


def test_a_pyopenssl_that_has_changed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_libraries() == []
    monkeypatch.setattr(openssl, "_lib", None)
    (problem,) = check_libraries()
    assert problem.id == "securedrop.E029"
    assert "pyOpenSSL" in problem.msg
