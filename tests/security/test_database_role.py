"""The role of docs/howto/service_role.sql is enough for the service and too little for a forger."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import errors, sql

from tests.fixtures.postgres import PostgresServer
from tests.fixtures.processes import ROOT, wait_until
from tests.fixtures.served import Serve, ServedFtps

ROLE = "securedrop_service"


@dataclass
class Confined:
    """A server that has the role; ``url`` is its database's, in that role."""

    ftps: ServedFtps
    url: str


@pytest.fixture
def confined(served: Serve, postgres: PostgresServer) -> Iterator[Confined]:
    ftps = served("postgres", start=False)
    password = secrets.token_urlsafe(16)
    with psycopg.connect(ftps.database_url, autocommit=True) as owner:
        owner.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(ROLE), password)
        )
        script = (ROOT / "docs" / "howto" / "service_role.sql").read_text()
        owner.execute(script.encode())
    database = urlsplit(ftps.database_url).path
    url = f"postgres://{ROLE}:{password}@127.0.0.1:{postgres.port}{database}"
    ftps.settings["DATABASE_URL"] = url
    yield Confined(ftps.start(), url)
    ftps.stop()
    with psycopg.connect(ftps.database_url, autocommit=True) as owner:
        owner.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(ROLE)))
        owner.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(ROLE)))


def test_the_services_role_serves_and_cannot_change_the_audit_trail(confined: Confined) -> None:
    ftps = confined.ftps
    with ftps.login() as client:
        assert client.upload("a.txt", b"audited").startswith("226")
        assert client.delete("a.txt").startswith("250")
    with ftps.connect() as guesser:
        guesser.reply_to("USER alice")
        assert guesser.reply_to("PASS wrong").startswith("530")
    wait_until(lambda: len(ftps.audit("session.closed")) == 2, "the sessions' rows")
    assert ftps.audit("upload.committed")
    assert ftps.audit("file.deleted")
    assert ftps.audit("login.failed")

    with psycopg.connect(confined.url, autocommit=True) as forger:
        for statement in (
            "UPDATE securedrop_ftp_auditevent SET reason = 'forged'",
            "DELETE FROM securedrop_ftp_auditevent",
            "TRUNCATE securedrop_ftp_auditevent",
            "DELETE FROM securedrop_ftp_audithead",
            "DROP TABLE securedrop_ftp_auditevent",
            "ALTER TABLE securedrop_ftp_auditevent DISABLE TRIGGER ALL",
            "DELETE FROM django_migrations",
            "CREATE TABLE mine (x int)",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                forger.execute(statement)
    assert "The audit chain holds" in ftps.manage("audit_verify")
