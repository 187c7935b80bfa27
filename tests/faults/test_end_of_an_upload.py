"""Rows 32 and 33: what comes in the midst of a commit, and a second writer."""

from __future__ import annotations

import contextlib

import pytest

from tests.faults.holding import database_held
from tests.faults.test_bad_endings import await_one_row, rows_of
from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve

#: What each command is answered once the commit is over.
ANSWERS = {"ABOR": ("225", "226"), "EPSV": ("229",), "QUIT": ("221",), "NOOP": ("200",)}

PART = 64 * 1024


@pytest.mark.parametrize("line", [*ANSWERS, ""], ids=lambda line: line or "lost")
def test_row_32_what_comes_during_a_commit_waits_for_its_one_true_reply(
    standing: Serve, line: str
) -> None:
    ftps = standing()
    for attempt in range(3):
        path = f"/committing-{line or 'lost'}-{attempt}.bin"
        with ftps.login() as client:
            client.voidcmd("TYPE I")
            with client.transfercmd(f"STOR {path}") as data:
                data.sendall(b"payload")
                with database_held(ftps):  # the ledger's write-ahead row has to wait
                    data.unwrap()  # type: ignore[attr-defined]
                    wait_until(lambda: "committed" in client.reply_to("STAT"), "the commit")
                    client.putcmd(line) if line else client.close()
            if line:
                reply, own = client.final_reply(), client.final_reply()
                told = "Transfer complete" in reply
                assert told or reply.startswith("426"), reply
                assert own[:3] in ANSWERS[line]
                assert told == (f"acme{path}" in set(ftps.keys()))
            if line not in ("QUIT", ""):
                assert client.reply_to("NOOP").startswith("200 I am here")
        ending = await_one_row(ftps, path, 0)
        assert (ending == "upload.committed") == (f"acme{path}" in set(ftps.keys()))


@pytest.mark.parametrize("size", [10, 5 * PART])
def test_row_33_an_old_session_on_another_node_writes_nothing_over_its_successor(
    served: Serve, size: int
) -> None:
    first = served(options={"part_size": PART})
    second = served(options={"part_size": PART}, beside=first)
    path = "/one-writer.bin"
    with first.login() as old, second.login() as new:
        old.voidcmd("TYPE I")
        with old.transfercmd(f"STOR {path}") as data:
            data.sendall(b"stale" * size)
            wait_until(lambda: len(first.uploads()) == 1, "the old session's row")
            assert new.upload(path, b"fresh").startswith("226")
            with contextlib.suppress(OSError):  # it may have been told already
                data.sendall(b"stale")
                data.unwrap()  # type: ignore[attr-defined]
        assert old.final_reply()[0] in "45"
    assert first.stored(f"acme{path}") == b"fresh"
    # The older one is suspended if a part of it was recorded before its successor came.
    committed, ended = sorted(rows_of(first, path), key=lambda name: name != "upload.committed")
    assert committed == "upload.committed"
    assert ended in ("upload.aborted", "upload.suspended")
