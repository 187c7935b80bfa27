"""SIGKILL of the worker at every step of an upload, of a rename and of a deletion (the long form:
``make test-faults``)."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.fixtures.moto import CREDENTIALS, MotoServer
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.processes import ROOT
from tests.fixtures.served import environment

#: Kills on each storage in the long suite (500); else 30, and 10 where a kill takes a second.
LONG = int(os.environ.get("KILLS", "0"))

#: Locations that are killed on at once: recovery waits, and others use the time.
SHARDS = 4 if LONG else 1
#: For as long recovery waits for a file of one part that may still land.
PATIENCE = {"SECUREDROP_STORAGE_TIMEOUT": "20"}
#: S3's parts are of 5 MiB at least.
LARGE = ("--part-size", str(5 * 1024 * 1024), "--longest", "1.5")
#: The same of renames and deletions, which are over sooner.
COPIED = (*LARGE[:2], "--longest", "0.4")
NAMES = "tests.faults.name_kills"


def kill(
    tmp_path: Path,
    storage_urls: Sequence[str],
    extra: dict[str, str],
    *arguments: str,
    kills: int,
    program: str = "tests.faults.kills",
    databases: Sequence[str] = (),
) -> None:
    """Kill on each of these locations at once, ``kills`` in all; each has a SQLite file of its own
    where no ``databases`` are given."""
    share = -(-kills // len(storage_urls))

    def one(number: int, url: str) -> dict[str, Any]:
        directory = tmp_path / f"shard{number}"
        directory.mkdir()
        database = databases[number] if databases else f"sqlite:///{directory}/kills.sqlite3"
        env = extra | {"DATABASE_URL": database}
        arguments_of_one = (program, "--kills", str(share), *arguments)
        return _kill(directory, url, env, *arguments_of_one, number=number)

    with ThreadPoolExecutor(len(storage_urls)) as threads:
        results = list(threads.map(one, range(len(storage_urls)), storage_urls))
    total: Counter[str] = Counter()
    for result in results:
        assert result.pop("orphans", [0]) == [0]  # renames begin no uploads
        assert result["killed"] >= share
        total.update(result)
    print(json.dumps(total))


def _kill(
    directory: Path,
    storage_url: str,
    extra: dict[str, str],
    program: str,
    *arguments: str,
    number: int,
) -> dict[str, Any]:
    env = environment(
        {
            "DATA_DIR": directory / "data",
            "SECRET_KEY": secrets.token_urlsafe(64),
            "STORAGE_URL": storage_url,
            "DATABASE_URL": extra["DATABASE_URL"],
        }
    ) | {"DJANGO_SETTINGS_MODULE": "securedrop_ftp.project.settings", **extra}
    subprocess.run(
        [sys.executable, "-m", "tests.fixtures.cast"],
        cwd=ROOT, env=env, check=True, capture_output=True,
    )  # fmt: skip
    seed = int(os.environ.get("KILLS_SEED", "1")) * 100 + number
    done = subprocess.run(
        [sys.executable, "-m", program, "--seed", str(seed), *arguments],
        cwd=ROOT, env=env, text=True, timeout=60 * (LONG or 30), check=False,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE if not LONG else None,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + (done.stderr or "")[-4000:]
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.timeout(0)  # it ends with its kills
def test_a_worker_killed_at_any_step_breaks_no_promise_on_a_file_system(tmp_path: Path) -> None:
    kill(tmp_path, [f"file://{tmp_path}/storage"], {}, kills=LONG or 30)


@pytest.mark.timeout(0)  # it ends with its kills
def test_a_worker_killed_at_any_step_breaks_no_promise_on_s3(
    tmp_path: Path, moto_server: MotoServer
) -> None:
    urls = [moto_server.url(moto_server.bucket()) for _ in range(SHARDS)]
    kill(tmp_path, urls, CREDENTIALS | PATIENCE, *LARGE, kills=LONG or 10)


@pytest.fixture(params=["sqlite", "postgres"])
def databases(request: pytest.FixtureRequest) -> list[str]:
    """URLs, one for each shard; none: SQLite files."""
    if request.param == "sqlite":
        return []
    server: PostgresServer = request.getfixturevalue("postgres")
    return [server.database() for _ in range(SHARDS)]


@pytest.mark.timeout(0)  # it ends with its kills
def test_a_rename_or_deletion_killed_at_any_step_is_done_or_undone_on_a_file_system(
    tmp_path: Path, databases: list[str]
) -> None:
    urls = [f"file://{tmp_path}/storage"]
    kill(tmp_path, urls, {}, kills=LONG or 12, program=NAMES, databases=databases)


@pytest.mark.skipif(not LONG, reason="long: KILLS=500; eight kills on S3 take minutes")
@pytest.mark.timeout(0)  # it ends with its kills
def test_a_rename_or_deletion_killed_at_any_step_is_done_or_undone_on_s3(
    tmp_path: Path, moto_server: MotoServer, databases: list[str]
) -> None:
    urls = [moto_server.url(moto_server.bucket()) for _ in range(SHARDS)]
    extra = CREDENTIALS | PATIENCE
    kill(tmp_path, urls, extra, *COPIED, kills=LONG or 8, program=NAMES, databases=databases)


@pytest.mark.skipif(not LONG, reason="long: KILLS=500, with Ceph from Debian's packages")
@pytest.mark.timeout(0)  # it ends with its kills
@pytest.mark.parametrize(
    ("program", "arguments"),
    [("tests.faults.kills", LARGE), (NAMES, COPIED)],
    ids=["uploads", "names"],
)
def test_a_worker_killed_at_any_step_breaks_no_promise_on_ceph(
    tmp_path: Path, program: str, arguments: tuple[str, ...]
) -> None:
    from tests.storage.real.servers import ceph

    with ceph() as told:
        server = json.loads(told)
        query = urlencode(
            {
                "endpoint_url": server["endpoint_url"],
                "region": server["region"],
                "addressing_style": "path",
                "verify": server["ca"],
            }
        )
        credentials = {
            "AWS_ACCESS_KEY_ID": server["access_key"],
            "AWS_SECRET_ACCESS_KEY": server["secret_key"],
        }
        urls = [f"s3://{server['name']}/kills{number}?{query}" for number in range(SHARDS)]
        kill(tmp_path, urls, credentials | PATIENCE, *arguments, kills=LONG, program=program)
