"""The audit trail and the ledger in admin: read only, inert, and paged without counting."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from securedrop_ftp.events import Event
from securedrop_ftp.models import AuditEvent, Partner, Upload
from securedrop_ftp.signals import emit

TRAIL = "admin:securedrop_ftp_auditevent_changelist"
LEDGER = "admin:securedrop_ftp_upload_changelist"
START = datetime(2026, 1, 1, tzinfo=UTC)


def _events(count: int, **values: Any) -> None:
    for number in range(count):
        time = START + timedelta(minutes=number)
        emit(Event("session.opened", time=time, path=f"/n{number:03}.", **values))


def _numbers(page: str) -> list[int]:
    return [int(n) for n in re.findall(r"/n(\d{3})\.", page)]


def _link(page: str, rel: str) -> str | None:
    found = re.search(rf'href="([^"]+)" rel="{rel}"', page)
    return found[1].replace("&amp;", "&") if found else None


def test_older_and_newer_pages_show_every_row_once_in_order(operator: Client) -> None:
    _events(120)
    url = reverse(TRAIL)
    query: str | None = "?event=session.opened"
    seen, pages = [], []
    while query:
        page = operator.get(url + query).content.decode()
        seen += _numbers(page)
        pages.append(_numbers(page))
        query = _link(page, "next")
    assert seen == list(range(119, -1, -1))
    query = _link(page, "prev")
    while query:
        pages.pop()
        page = operator.get(url + query).content.decode()
        assert _numbers(page) == pages[-1]
        query = _link(page, "prev")
    assert len(pages) == 1


@pytest.mark.parametrize("name", [TRAIL, LEDGER])
def test_no_list_counts_rows_or_skips_over_them(operator: Client, name: str) -> None:
    _events(60)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        for query in (
            "",
            "?q=alice",
            "?first_day=2026-01-01",
            "?event=login.failed",
            "?state=aborted",
        ):
            assert operator.get(reverse(name) + query).status_code in (200, 302)
    table = "securedrop_ftp_auditevent" if name == TRAIL else "securedrop_ftp_upload"
    ours = [q["sql"] for q in queries if f'FROM "{table}"' in q["sql"]]
    assert ours
    for sql in ours:
        assert "COUNT(" not in sql
        assert "LIMIT" in sql
        # The search window's end is looked up so, in an index.
        assert "OFFSET" not in sql or sql.endswith("LIMIT 2 OFFSET 49999")


def test_a_day_filter_takes_both_its_days_whole(operator: Client) -> None:
    for day in (1, 2, 3, 4):
        for hour in (0, 23):
            time = datetime(2026, 3, day, hour, 59, tzinfo=UTC)
            emit(Event("session.opened", time=time, path=f"/n0{day}{hour % 9}."))
    page = operator.get(reverse(TRAIL) + "?first_day=2026-03-02&last_day=2026-03-03")
    assert _numbers(page.content.decode()) == [35, 30, 25, 20]


def test_search_finds_an_address_exactly_and_a_part_of_a_path(operator: Client) -> None:
    _events(3, remote_ip="192.0.2.77", account="zoe")
    _events(2, remote_ip="192.0.2.78")
    for term, count in (("192.0.2.77", 3), ("zoe", 3), ("n001.", 2), ("absent", 0)):
        page = operator.get(reverse(TRAIL), {"q": term}).content.decode()
        assert len(_numbers(page)) == count, term


def test_a_cursor_of_nonsense_shows_the_first_page(operator: Client) -> None:
    _events(3)
    for text in ("x", "~", "2026-01-01~x", "2026-01-01T00:00:00+00:00~9999999999999999999999"):
        for name in ("after", "before"):
            assert operator.get(reverse(TRAIL), {name: text}).status_code == 200


def test_what_a_client_sent_is_inert_on_every_page(operator: Client) -> None:
    hostile = "<script>alert(1)</script>'\"\n\x1b[31m\u202egpj.exe\udcff{{ 7|add:7 }}"
    emit(Event("login.failed", account=hostile, path=hostile, reason=hostile, session=hostile))
    row = AuditEvent.objects.latest("seq")
    detail = reverse("admin:securedrop_ftp_auditevent_change", args=(row.pk,))
    for url in (reverse(TRAIL), reverse(TRAIL) + "?q=alert", detail):
        page = operator.get(url).content.decode()
        assert "&lt;script&gt;alert(1)" in page
        for forbidden in ("<script>alert", "\x1b", "\u202e", "\udcff"):
            assert forbidden not in page
        assert "{{ 7|add:7 }}" in page
    asked = operator.get(reverse(TRAIL), {"q": hostile.replace("\udcff", "")})
    assert "<script>alert" not in asked.content.decode()


def test_the_ledger_never_shows_what_could_continue_an_upload(
    operator: Client, partner: Partner
) -> None:
    upload = Upload.objects.create(
        partner=partner,
        username="alice",
        storage="default",
        backend="s3",
        key="acme/in/a.xml",
        path="/in/a.xml",
        policy="replace",
        resume_token="bearer-secret",
        digest_state=b"midstate-secret",
        parts=[[1, 0, 9, "etag-secret"]],
    )
    detail = reverse("admin:securedrop_ftp_upload_change", args=(upload.pk,))
    for url in (reverse(LEDGER), detail, reverse(LEDGER) + "?q=a.xml"):
        answer = operator.get(url)
        assert answer.status_code == 200
        assert "acme" in answer.content.decode()
        assert "secret" not in answer.content.decode()


@pytest.mark.parametrize("model", ["auditevent", "upload", "lockout"])
def test_rows_that_are_evidence_cannot_be_added_changed_or_deleted(
    operator: Client, model: str
) -> None:
    _events(1)
    pk = AuditEvent.objects.latest("seq").pk
    assert operator.get(reverse(f"admin:securedrop_ftp_{model}_add")).status_code == 403
    for page in ("change", "delete"):
        url = reverse(f"admin:securedrop_ftp_{model}_{page}", args=(pk,))
        assert operator.post(url, {"post": "yes"}).status_code in (302, 403)
    assert AuditEvent.objects.filter(pk=pk).exists()
