"""Search in the ledger and the trail tells the truth: found, or not there, or not looked at yet."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from django.test import Client
from django.urls import reverse

from securedrop_ftp.access.provisioning import create_partner
from securedrop_ftp.events import Event
from securedrop_ftp.models import Partner, Upload
from securedrop_ftp.signals import emit
from tests.fixtures.databases import SharedDatabase

LISTS = [
    f"admin:securedrop_ftp_{model}_changelist"
    for model in ("auditevent", "upload", "partner", "account", "livesession", "lockout")
]
TRAIL, LEDGER = LISTS[:2]


def test_every_part_of_a_name_is_found_however_old_its_row(shared_database: SharedDatabase) -> None:
    told = json.loads(shared_database.run("-m", "tests.admin.searching"))
    indexed = told["vendor"] == "postgresql"
    for looked, expected, rows in (
        ("oldest by a part", ["Rëport-0003"], 1000),
        ("in a filter", ["Rëport-0003"], 500),
        ("outside the filter", [], 500),
        ("nowhere", [], 1000),
    ):
        names, pages, said = told[looked]
        assert names == expected, looked
        # An index answers at once; without one each page says how far it looked.
        assert pages == (1 if indexed else rows // 100), looked
        assert len(said) == pages - 1, looked
        assert all("was not looked at" in text for text in said), looked
    names, pages, said = told["too short for trigrams"]
    assert len(names) == len(set(names)) == 119
    names, pages, said = told["digest in upper case"]
    assert (names, pages) == (["Rëport-0007"], 1)
    assert "sha256 is exactly" in said[0]
    names, pages, said = told["an account exactly"]
    assert (names, pages) == ([], 1)


@pytest.mark.django_db
def test_a_name_that_equals_an_account_can_still_be_searched_in_texts(operator: Client) -> None:
    emit(Event("login.succeeded", account="boss", path="/by-boss."))
    emit(Event("partner.changed", reason="changed by boss (admin): mode", path="/of-others."))
    page = operator.get(reverse(TRAIL), {"q": "boss"}).content.decode()
    assert "account is exactly “boss”" in page
    assert "/of-others." not in page
    assert "in=texts" in page
    page = operator.get(reverse(TRAIL), {"q": "boss", "in": "texts"}).content.decode()
    assert "/of-others." in page


NASTY = [
    "\x00", "a\x00b", "9999-12-31", "0001-01-01", "'", "%", "\\", "-1", "99999999999999999999999",
    "9999-12-31T23:59:59+00:00~1", "0001-01-01T00:00:00+23:59~1", "2026-01-01~1",
]  # fmt: skip
OF_BOTH = ["q", "partner", "p", "nothing"]
OF_LARGE = ["event", "outcome", "state", "first_day", "last_day", "after", "before", "in"]


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.parametrize("name", LISTS)
def test_no_value_of_no_parameter_is_a_server_error(operator: Client, name: str) -> None:
    emit(Event("session.opened"))
    for parameter in [*OF_BOTH, *(OF_LARGE if name in (TRAIL, LEDGER) else ["enabled__exact"])]:
        for value in NASTY:
            answer = operator.get(reverse(name), {parameter: value}, follow=True)
            assert answer.status_code in (200, 404), (parameter, value)
            assert b"\x00" not in answer.content


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.parametrize("name", LISTS)
def test_no_key_of_a_page_is_a_server_error(operator: Client, name: str) -> None:
    emit(Event("session.opened"))
    for key in NASTY:
        for page in ("change", "history", "delete"):
            url = reverse(name.replace("changelist", page), args=("KEY",))
            answer = operator.get(url.replace("KEY", _quoted(key)), follow=True)
            assert answer.status_code in (200, 403, 404), (page, key)


def _quoted(key: str) -> str:
    from urllib.parse import quote

    return quote(key, safe="")


@pytest.mark.django_db
def test_refused_uploads_are_one_link_away_with_the_same_filters(operator: Client) -> None:
    partner = create_partner("test", name="acme")
    emit(Event("upload.rejected", partner=partner.name, path="/refused."))
    emit(Event("upload.rejected", partner="other", path="/of-another."))
    assert operator.get(reverse(LEDGER), {"state": "rejected"}).status_code in (200, 302)
    page = operator.get(reverse(LEDGER), {"partner": "acme"}).content.decode()
    assert "state=rejected" not in page
    link = page.split('securedrop-note">')[1].split('href="')[1].split('"')[0]
    trail = operator.get(link.replace("&amp;", "&")).content.decode()
    assert "/refused." in trail
    assert "/of-another." not in trail


@pytest.mark.django_db
def test_beyond_a_hundred_partners_there_is_a_box_for_the_name(operator: Client) -> None:
    assert "securedrop-partner" not in operator.get(reverse(TRAIL)).content.decode()
    Partner.objects.bulk_create(Partner(name=f"p{n:03}", prefix=f"p{n:03}/") for n in range(101))
    emit(Event("session.opened", partner="p100", path="/hers."))
    emit(Event("session.opened", partner="p000", path="/not-hers."))
    page = operator.get(reverse(TRAIL), {"partner": "p100"}).content.decode()
    assert 'name="partner" value="p100"' in page
    assert "/hers." in page
    assert "/not-hers." not in page


@pytest.mark.django_db
def test_an_upload_page_shows_seconds_zone_and_both_names(operator: Client) -> None:
    partner = create_partner("test", name="acme")
    row = Upload.objects.create(
        partner=partner, username="alice", storage="default", backend="s3", policy="version",
        key="acme/in/a (1).xml", path="/in/a.xml", state="committed",
    )  # fmt: skip
    Upload.objects.filter(pk=row.pk).update(started=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    page = operator.get(reverse("admin:securedrop_ftp_upload_change", args=(row.pk,)))
    text = page.content.decode()
    for shown in ("2026-01-02 03:04:05", "(UTC)", "Name asked for", "Key stored under"):
        assert shown in text
    assert "historylink" not in text
    assert "/in/a.xml (stored as a (1).xml)" in operator.get(reverse(LEDGER)).content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("name", LISTS)
def test_an_empty_list_says_why(operator: Client, name: str) -> None:
    Upload.objects.all().delete()
    page = operator.get(reverse(name), {"q": "surely-not-there"}).content.decode()
    assert "securedrop-empty" in page
    assert "Show all rows" in page
