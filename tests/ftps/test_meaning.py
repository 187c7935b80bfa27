"""What a name means: each mode, policy and verb, with a file of one's own, of another, or none.

The expectation is the table of ``docs/reference/names.md``, so that neither can change alone.
"""

from __future__ import annotations

from ftplib import Error
from typing import Final

import pytest

from tests.clients import FtpsClient
from tests.fixtures.processes import ROOT
from tests.fixtures.served import Serve, ServedFtps

PAGE: Final = ROOT / "docs" / "reference" / "names.md"
POLICIES: Final = ("reject", "replace", "version")
MODES: Final = ("drop", "dropbox", "pickup", "exchange")
#: Stored by the account just now or an hour ago, by another account of the partner, or by nobody.
WHOSE: Final = ("own", "own, later", "another's", "none")
VERBS: Final = ("SIZE", "MDTM", "MLST", "RETR", "HASH", "DELE", "RNFR", "RNTO", "STOR")

#: Partners in exchange mode, so that everything can be stored; two accounts each.
MAKE: Final = """
import io, sys
from django.core.management import call_command
for policy in {policies}:
    for mode in {modes}:
        name = policy + "-" + mode
        call_command("partner_create", name, mode="exchange", stdout=io.StringIO())
        for who in ("own", "other"):
            account = who + "-" + name
            sys.stdin = io.StringIO(account + "-and-a-long-test-password\\n")
            call_command("account_create", name, account, "--password-stdin", stdout=io.StringIO())
"""

#: The mode and the policy of the row; and what was stored an hour ago.
SET: Final = """
from datetime import timedelta
from django.utils import timezone
from securedrop_ftp.models import Partner, Upload
hour_ago = timezone.now() - timedelta(hours=1)
Upload.objects.filter(path__contains="-later-").update(finished=hour_ago)
for policy in {policies}:
    for mode in {modes}:
        partner = Partner.objects.get(name=policy + "-" + mode)
        partner.mode, partner.overwrite = mode, policy
        partner.save()
"""


def name_of(whose: str, verb: str) -> str:
    return f"{whose.replace(', ', '-').replace(chr(39), '')}-{verb}"


@pytest.fixture(scope="module", params=["filesystem", "s3"])
def partners(request: pytest.FixtureRequest, standing: Serve) -> ServedFtps:
    """The service after everything was stored that the table asks for."""
    ftps = standing("sqlite", request.param, options={"login_rate_per_ip": 0}, workers=1)
    given = {"policies": POLICIES, "modes": MODES}
    ftps.manage("shell", "-c", MAKE.format(**given))
    for policy in POLICIES:
        for mode in MODES:
            _store_all(ftps, f"{policy}-{mode}")
    ftps.manage("shell", "-c", SET.format(**given))
    return ftps


def _store_all(ftps: ServedFtps, partner: str) -> None:
    for account, owned in (("own", WHOSE[:2]), ("other", WHOSE[2:3])):
        with ftps.login(f"{account}-{partner}") as client:
            for whose in owned:
                for verb in VERBS:
                    client.upload(name_of(whose, verb), b"bytes")
            if account == "own":
                for whose in WHOSE:
                    client.upload(f"source-{name_of(whose, 'RNTO')}", b"new")


def said(client: FtpsClient, verb: str, name: str) -> str:
    """The reply's code; ``n`` behind it: under a number."""
    if verb == "RNTO":
        if not (reply := client.reply_to(f"RNFR source-{name}")).startswith("350"):
            return reply[:3]
        reply = client.reply_to(f"RNTO {name}")
    elif verb == "RNFR":
        reply = client.reply_to(f"RNFR {name}")
    elif verb == "STOR":
        reply = _store(client, name)
    elif verb == "RETR":
        reply = _fetch(client, name)
    else:
        reply = client.reply_to(f"{verb} {name}")
    return reply[:3] + (" n" if "stored as" in reply else "")


def _store(client: FtpsClient, name: str) -> str:
    try:
        return client.upload(name, b"new")
    except Error as exc:
        return str(exc)


def _fetch(client: FtpsClient, name: str) -> str:
    try:
        assert client.download(name) == b"bytes"
    except Error as exc:
        return str(exc)
    return "226"


def documented() -> dict[str, list[str]]:
    """The rows of the page's tables, by policy."""
    tables: dict[str, list[str]] = {policy: [] for policy in POLICIES}
    policy = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("### "):
            policy = line.removeprefix("### ").strip("` ")
        elif line.startswith(tuple(f"| {mode} |" for mode in MODES)):
            tables[policy].append(line)
    return tables


def row_of(mode: str, whose: str, cells: list[str]) -> str:
    return " | ".join((f"| {mode}", whose, *cells)) + " |"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("policy", POLICIES)
def test_a_name_means_what_the_table_says(partners: ServedFtps, policy: str, mode: str) -> None:
    with partners.login(f"own-{policy}-{mode}") as client:
        seen = [
            row_of(mode, whose, [said(client, verb, name_of(whose, verb)) for verb in VERBS])
            for whose in WHOSE
        ]
    assert seen == [row for row in documented()[policy] if row.startswith(f"| {mode} |")]
