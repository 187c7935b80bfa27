"""The admin site as a browser meets it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.template.loader import render_to_string
from django.test import Client

from securedrop_ftp import __version__
from securedrop_ftp.models import AuditEvent
from tests.fixtures.processes import ROOT
from tests.fixtures.served import environment


@pytest.mark.django_db
def test_every_page_forbids_foreign_content_and_frames() -> None:
    answer = Client().get("/admin/login/", secure=True)
    assert answer.status_code == 200
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "max-age=31536000" in answer.headers["Strict-Transport-Security"]


@pytest.mark.django_db
def test_cookies_travel_encrypted_and_out_of_scripts_reach() -> None:
    cookie = Client().get("/admin/login/", secure=True).cookies["csrftoken"]
    assert cookie["secure"]
    assert cookie["httponly"]


def test_plain_http_is_sent_to_https(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    answer = Client().get("/admin/", headers={"host": "localhost"})
    assert (answer.status_code, answer.headers["Location"]) == (301, "https://localhost/admin/")


def test_the_root_leads_to_the_admin() -> None:
    assert Client().get("/", secure=True).headers["Location"] == "/admin/"


def test_a_host_that_is_not_ours_is_refused() -> None:
    answer = Client().get("/admin/login/", secure=True, headers={"host": "evil.example"})
    assert answer.status_code == 400


def test_the_admins_files_are_served_without_a_build_step() -> None:
    answer = Client().get("/static/admin/css/base.css", secure=True)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/css")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("header", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("203.0.113.9, 192.0.2.7", "192.0.2.7"),  # the first is the client's own word
        ("192.0.2.7, 2001:db8::1", "2001:db8::1"),
        ("192.0.2.7:4711", "192.0.2.7"),
        ("[2001:DB8:0::1]:4711", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("192.0.2.7, unknown", "127.0.0.1"),
        ("", "127.0.0.1"),
    ],
)
def test_behind_a_proxy_a_failed_login_has_the_clients_address(
    settings: Any, header: str, address: str
) -> None:
    settings.MIDDLEWARE = [
        "securedrop_ftp.project.middleware.ClientAddress",
        *settings.MIDDLEWARE,
    ]
    form = {"username": "olga", "password": "wrong"}
    headers = {"x-forwarded-for": header}
    Client().post("/admin/login/", form, secure=True, headers=headers)
    assert AuditEvent.objects.get(event="login.failed").remote_ip == address


@pytest.mark.django_db
def test_without_a_proxy_nobody_chooses_an_address() -> None:
    form = {"username": "olga", "password": "wrong"}
    headers = {"x-forwarded-for": "192.0.2.7"}
    Client().post("/admin/login/", form, secure=True, headers=headers)
    assert AuditEvent.objects.get(event="login.failed").remote_ip == "127.0.0.1"


@pytest.mark.django_db
def test_on_a_dual_stack_listener_an_ipv4_client_has_its_ipv4_address() -> None:
    form = {"username": "olga", "password": "wrong"}
    Client(REMOTE_ADDR="::ffff:192.0.2.7").post("/admin/login/", form, secure=True)
    assert AuditEvent.objects.get(event="login.failed").remote_ip == "192.0.2.7"


@pytest.mark.integration
@pytest.mark.parametrize("behind", [True, False])
def test_the_setting_says_whether_there_is_a_proxy(tmp_path: Path, behind: bool) -> None:
    code = "from securedrop_ftp.project import settings; print(settings.MIDDLEWARE[0])"
    done = run("-c", code, DATA_DIR=tmp_path, WEB_BEHIND_PROXY=str(behind).lower())
    assert done.stdout.strip().endswith("ClientAddress") == behind


def run(*code: str, **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *code],
        env=environment(settings),
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


@pytest.mark.integration
def test_the_wsgi_application_says_what_is_wrong_and_ends(tmp_path: Path) -> None:
    done = run(
        "-c", "import securedrop_ftp.project.wsgi", DATA_DIR=tmp_path, STORAGE_URL="nothing://"
    )
    assert done.returncode == 1
    assert "nothing" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.integration
def test_the_version_is_ours(tmp_path: Path) -> None:
    done = run("manage.py", "--version", DATA_DIR=tmp_path)
    assert done.stdout == f"securedrop_ftp {__version__}\n"


@pytest.mark.django_db
def test_error_pages_say_what_to_do_and_lead_back() -> None:
    client = Client(raise_request_exception=False, enforce_csrf_checks=True)
    client.get("/admin/login/", secure=True)
    answers = {
        404: client.get("/nowhere/", secure=True),
        403: client.post("/admin/login/", {"username": "x"}, secure=True),
        400: client.get("/admin/login/", secure=True, headers={"host": "evil.example"}),
    }
    for status, answer in answers.items():
        page = answer.content.decode()
        assert answer.status_code == status
        assert 'href="/admin/"' in page, status
        assert f'<p class="code">{status}</p>' in page
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]


def test_the_page_of_a_server_error_needs_no_database_and_no_request() -> None:
    page = render_to_string("500.html")
    assert 'href="/admin/"' in page
