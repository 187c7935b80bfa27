"""Several worker processes at one name at once, on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.databases import SharedDatabase
from tests.fixtures.processes import ROOT

WORKERS, FILES = 3, 4


def together(commands: Sequence[Sequence[str]], env: Mapping[str, str]) -> list[str]:
    """Python processes that begin their work at the same moment; their outputs."""
    children = [
        subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=dict(env),
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for command in commands
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    outputs = [child.communicate(timeout=100)[0] for child in children]
    assert [child.returncode for child in children] == [0] * len(children)
    return outputs


def race(
    database: SharedDatabase, tmp_path: Path, policy: str, size: int
) -> tuple[list[tuple[str, str]], list[str], dict[str, Any]]:
    """(path, digest) of what was acknowledged, codes of what was refused, and the census."""
    database.env["SECUREDROP_STORAGE_URL"] = f"file://{tmp_path}/race"
    commands = [
        ["-m", "tests.intake.racer", policy, "alice", str(n), str(size), str(FILES)]
        for n in range(WORKERS)
    ]
    lines = "".join(together(commands, database.env)).split("\n")
    told = [(path, digest) for path, _, digest in (x.partition("\t") for x in lines if "\t" in x)]
    refused = [line for line in lines if line.isdigit()]
    return told, refused, json.loads(together([["-m", "tests.intake.census"]], database.env)[0])


@pytest.mark.parametrize("size", [100, 200_000])
def test_uploads_of_one_name_at_once_all_get_names_of_their_own_under_version(
    shared_database: SharedDatabase, tmp_path: Path, size: int
) -> None:
    told, refused, census = race(shared_database, tmp_path, "version", size)
    assert refused == []
    assert len(told) == WORKERS * FILES
    assert dict(told) == census["objects"]
    assert census["states"] == {"committed": len(told)}
    assert census["events"] == {"upload.committed": len(told)}


@pytest.mark.parametrize("policy", ["replace", "reject"])
def test_uploads_of_one_name_at_once_never_mix(
    shared_database: SharedDatabase, tmp_path: Path, policy: str
) -> None:
    told, refused, census = race(shared_database, tmp_path, policy, 200_000)
    assert len(told) + len(refused) == WORKERS * FILES
    assert set(refused) <= {"450", "550"}
    assert census["objects"]["/a.txt"] in {digest for _, digest in told}
    assert len(census["objects"]) == 1
    assert census["events"]["upload.committed"] == len(told)
    assert sum(census["events"].values()) == WORKERS * FILES
    if policy == "reject":
        assert len(told) == 1
