"""The quick share of the matrix: the clients that the other tests need too. ``make test-clients``
runs all of them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.fixtures.processes import ROOT
from tests.fixtures.served import Serve, ServedFtps
from tests.interop.catalogue import CATALOGUE
from tests.interop.client import PROGRAMS, Answer, Client, Where
from tests.interop.service import POLICIES
from tests.interop.table import TABLE, Result
from tests.interop.trial import MIB, PART, Outcome, Trial

RECIPES = ROOT / "docs" / "howto" / "clients"

#: As they come, or with the recipe of their page.
GET_IN = [
    "curl", "lftp", "rclone, Debian's, one connection", "rclone, PyPI's", "Python ftplib, recipe",
]  # fmt: skip


def client(name: str) -> Client:
    (found,) = (client for client in CATALOGUE if client.name == name)
    return found


def trial(ftps: ServedFtps, name: str, home: Path, username: str = "alice") -> Trial:
    """The programs run on this test's own Python, which has all that they need."""
    home /= re.sub(r"\W+", "-", f"{name}-{username}")
    home.mkdir()
    return Trial(client(name), Where(ftps, username, home, Path(sys.prefix)), big=3 * MIB)


@pytest.mark.parametrize("name", GET_IN)
def test_what_a_client_does_is_in_storage_byte_for_byte(
    standing: Serve, tmp_path: Path, name: str
) -> None:
    ftps = standing("sqlite", "filesystem", options={"part_size": PART}, workers=2)
    attempt = trial(ftps, name, tmp_path)
    steps = [
        step for step in attempt.steps() if step[0] not in ("five in a session", "four at once")
    ]
    outcomes = [attempt.outcome(*step) for step in steps]
    assert [outcome for outcome in outcomes if outcome.good is False] == []


def test_a_client_that_resumes_no_session_stores_nothing_and_reads_why(
    served: Serve, tmp_path: Path
) -> None:
    ftps = served(workers=2)
    (outcome,) = trial(ftps, "Python ftplib", tmp_path).run("upload 1 048 577")
    assert outcome.good is False
    assert outcome.said.startswith("522 Data connection refused")
    (row,) = ftps.audit("upload.aborted")
    assert row["path"].endswith("/1048577.bin")
    assert row["reply"].startswith("522 Data connection refused")
    assert ftps.keys() == []


def test_a_partner_that_is_let_off_needs_no_recipe(served: Serve, tmp_path: Path) -> None:
    ftps = served(workers=2, start=False)
    ftps.manage("partner_set", "globex", "--tls-session-reuse", "off")
    ftps.start()
    outcomes = trial(ftps, "Python ftplib", tmp_path, POLICIES["let off"]).run("upload")
    assert {outcome.good for outcome in outcomes} == {True}


def test_a_reason_is_the_reply_where_the_client_shows_it() -> None:
    trace = "Traceback\n  File x\nftplib.error_perm: 522 Data connections must resume it.\n"
    assert Answer(1, "", trace).reason == "522 Data connections must resume it."
    assert Answer(1, "", "curl: (56) Recv failure\n").reason == "curl: (56) Recv failure"
    assert Answer(-1, "", "", hung=True).reason == "it hangs"


def test_a_step_that_the_client_has_not_counts_for_nothing() -> None:
    assert Result([Outcome("a", True), Outcome("b", None)]).cell == "all 1"
    assert Result([Outcome("a", True), Outcome("b", False, "x")]).cell == "1/2"


def test_every_client_has_a_page_and_a_row() -> None:
    table = TABLE.read_text()
    for each in CATALOGUE:
        assert (RECIPES / f"{each.page}.md").exists(), each.page
        assert f"{{doc}}`{each.name} </howto/clients/{each.page}>`" in table


def test_what_the_pages_show_is_what_the_matrix_runs() -> None:
    shown = {
        (page.parent / name).resolve()
        for page in RECIPES.glob("*.md")
        for name in re.findall(r"\{literalinclude\} (\S+)", page.read_text())
    }
    run = {part.rsplit("/", 1)[-1] for each in CATALOGUE for part in each.command}
    sources = {path.resolve() for path in PROGRAMS.rglob("*") if path.is_file()}
    assert shown <= sources
    for path in shown:
        compiled = path.suffix in (".go", ".rs", ".java")
        imported = path.name in ("ftps_reuse.py",)
        assert compiled or imported or path.name in run, path
