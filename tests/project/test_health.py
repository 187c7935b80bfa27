"""/livez and /readyz: true, bounded, without a row, and without a word for strangers."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from securedrop_ftp.project.environment import trusted_origins
from tests.fixtures.moto import MotoServer
from tests.fixtures.processes import ROOT
from tests.fixtures.served import Serve, ServedFtps

ASK = """
import django, json, sys
django.setup()
from django.test import Client
for page in sys.argv[1:]:
    answer = Client().get(page, headers={"host": "10.1.2.3"})
    print(json.dumps([answer.status_code, answer.json()]))
"""


def asked(ftps: ServedFtps, *pages: str) -> list[tuple[int, dict[str, Any]]]:
    """What a web process with that service's settings answers to a probe that comes by address,
    over plain HTTP. It must come to its end, whatever hangs."""
    env = {"DJANGO_SETTINGS_MODULE": "securedrop_ftp.project.settings"} | ftps.environment
    done = subprocess.run(
        [sys.executable, "-c", ASK, *pages],
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return [(code, body) for code, body in map(json.loads, done.stdout.splitlines())]


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_a_service_that_can_serve_says_so_and_leaves_no_row(served: Serve, database: str) -> None:
    ftps = served(database, start=False)
    before = len(ftps.audit())
    (alive, (code, body)) = asked(ftps, "/livez", "/readyz")
    assert alive == (200, {"status": "alive"})
    assert (code, body["status"]) == (200, "ready")
    assert set(body["checks"]) == {"database", "storage", "trail", "clock", "disk", "writer"}
    assert set(body["checks"].values()) == {"ok"}
    assert len(ftps.audit()) == before
    assert ftps.query("SELECT * FROM securedrop_ftp_lockout") == []


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield listener.getsockname()[1]


def test_a_database_that_hangs_is_no_answer_and_hangs_nobody(served: Serve, silent: int) -> None:
    ftps = served(start=False)
    ftps.settings["DATABASE_URL"] = f"postgres://u:p@127.0.0.1:{silent}/x?connect_timeout=600"
    alive, (code, body) = asked(ftps, "/livez", "/readyz")
    assert alive[0] == 200
    assert (code, body["status"]) == (503, "unavailable")
    assert body["checks"]["database"] == "no answer"


def test_a_database_that_is_away_or_not_migrated_is_503(served: Serve, tmp_path: Path) -> None:
    ftps = served(start=False)
    for url, word in (
        ("postgres://u:p@127.0.0.1:1/secret-name", "unreachable"),
        (f"sqlite:///{tmp_path}/new.sqlite3", "not migrated"),
    ):
        ftps.settings["DATABASE_URL"] = url
        ((code, body),) = asked(ftps, "/readyz")
        assert (code, body["checks"]["database"]) == (503, word)
        assert "secret-name" not in json.dumps(body)


def test_one_partners_storage_does_not_take_the_node_away(
    served: Serve, moto_server: MotoServer
) -> None:
    env = {
        **moto_server.credentials,
        "DJANGO_SETTINGS_MODULE": "tests.fixtures.others_project",
        "TEST_ARCHIVE_URL": moto_server.url("nobody-made-it"),
    }
    ftps = served(start=False, env=env)
    ftps.query("UPDATE securedrop_ftp_partner SET storage = 'archive' WHERE name = 'globex'")
    ((code, body),) = asked(ftps, "/readyz")
    assert (code, body["status"]) == (200, "degraded")
    assert body["checks"]["storage"] == "1 of 2 unusable"
    assert not [word for word in ("archive", "globex", "nobody") if word in json.dumps(body)]
    ftps.query("UPDATE securedrop_ftp_partner SET storage = 'archive'")
    assert asked(ftps, "/readyz")[0][0] == 503


def test_only_reading_is_answered() -> None:
    assert Client().post("/readyz").status_code == 405
    assert Client().post("/livez").status_code == 405
    assert Client().head("/livez").status_code == 200


def test_a_proxy_on_another_port_is_let_in_by_its_origin(settings: Any, db: None) -> None:
    settings.ALLOWED_HOSTS = ["files.example"]
    client = Client(enforce_csrf_checks=True)
    page = "/admin/login/"
    token = client.get(page, secure=True, headers={"host": "files.example"}).cookies["csrftoken"]
    form = {"username": "olga", "password": "wrong", "csrfmiddlewaretoken": token.value}
    headers = {
        "host": "files.example",  # as “proxy_set_header Host $host” has it
        "origin": "https://files.example:8443",
    }
    assert client.post(page, form, secure=True, headers=headers).status_code == 403
    settings.CSRF_TRUSTED_ORIGINS = trusted_origins("https://files.example:8443/, ")
    cookies, client = client.cookies, Client(enforce_csrf_checks=True)  # it keeps its settings
    client.cookies = cookies
    assert client.post(page, form, secure=True, headers=headers).status_code == 200


@pytest.mark.parametrize("text", ["files.example", "https://", "ftp://x", "https://x/path"])
def test_an_origin_that_is_none_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="SECUREDROP_WEB_TRUSTED_ORIGINS"):
        trusted_origins(text)
