"""The perm fact of MLST and MLSD tells what the verbs do (RFC 3659 §7.5.5)."""

from __future__ import annotations

import pytest

from tests.clients import FtpsClient
from tests.fixtures.served import Serve, ServedFtps


def perm(client: FtpsClient, path: str) -> str:
    """The letters, sorted."""
    line = client.sendcmd(f"MLST {path}").splitlines()[1]
    facts = dict(fact.split("=") for fact in line.strip().partition("; ")[0].split(";"))
    return "".join(sorted(facts.get("perm", "")))


@pytest.fixture(params=["filesystem", "s3", "memory"])
def anywhere(request: pytest.FixtureRequest, standing: Serve) -> ServedFtps:
    return standing(storage=request.param)


def test_the_perm_fact_tells_what_the_verbs_do(anywhere: ServedFtps) -> None:
    with anywhere.login() as client:
        client.upload("p.txt", b"x")
        client.reply_to("MKD pd")
        assert perm(client, "/") == "celmp"  # RMD and RNFR never take the top
        assert perm(client, "pd") == "cdeflmp"
        assert perm(client, "p.txt") == "dfrw"  # APPE to a finished file is refused
        listed = {name: found["perm"] for name, found in client.mlsd("/")}
        assert sorted(listed["p.txt"]) == sorted("dfrw")


def test_the_perm_fact_of_an_own_suspended_upload(standing: Serve) -> None:
    ftps = standing(options={"part_size": 64 * 1024})
    with ftps.login() as client:
        client.truncated_upload("perm-cut.bin", b"x" * 200_000)
    with ftps.login() as client:
        assert perm(client, "perm-cut.bin") == "adw"
        assert dict(client.mlsd("/"))["perm-cut.bin"]["perm"] == "adw"
        client.voidcmd("TYPE I")
        for line in ("RNFR perm-cut.bin", "HASH perm-cut.bin"):
            assert client.reply_to(line).startswith("550")
        assert client.delete("perm-cut.bin").startswith("250")


def test_the_perm_fact_by_mode_and_policy(served: Serve) -> None:
    ftps = served()
    ftps.store.put("umbrella/in.txt", b"x")
    ftps.store.put("hooli/in.txt", b"x")
    with ftps.login("dave") as client:  # pickup
        assert perm(client, "/") == "el"
        assert perm(client, "in.txt") == "r"
    with ftps.login("erin") as client:  # dropbox: it replaces what it stored, renames it for a day
        client.upload("mine.txt", b"x")
        assert perm(client, "/") == "celm"
        assert perm(client, "mine.txt") == "fw"
        assert perm(client, "in.txt") == ""
    with ftps.login("erin") as client:
        assert perm(client, "mine.txt") == "fw"
        assert sorted(dict(client.mlsd("/"))["mine.txt"]["perm"]) == ["f", "w"]
        ftps.query("UPDATE securedrop_ftp_upload SET finished = datetime('now', '-25 hours')")
        assert perm(client, "mine.txt") == "w"
    ftps.manage("partner_set", "acme", "--overwrite", "reject")
    with ftps.login() as client:
        client.upload("once.txt", b"x")
        assert perm(client, "once.txt") == "dfr"
