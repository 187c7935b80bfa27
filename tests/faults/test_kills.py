"""SIGKILL of the worker at every step of an upload (the long form: ``make test-faults``)."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.fixtures.moto import CREDENTIALS, MotoServer
from tests.fixtures.processes import ROOT
from tests.fixtures.served import environment

#: Kills on each storage in the long suite (500); else 30, and 10 where a kill takes a second.
LONG = int(os.environ.get("KILLS", "0"))

#: For as long recovery waits for a file of one part that may still land.
PATIENCE = {"SECUREDROP_STORAGE_TIMEOUT": "20"}
#: S3's parts are of 5 MiB at least.
LARGE = ("--part-size", str(5 * 1024 * 1024), "--longest", "1.5")


def kill(
    tmp_path: Path, storage_url: str, extra: dict[str, str], *arguments: str, kills: int
) -> None:
    env = environment(
        {
            "DATA_DIR": tmp_path / "data",
            "SECRET_KEY": secrets.token_urlsafe(64),
            "STORAGE_URL": storage_url,
            "DATABASE_URL": f"sqlite:///{tmp_path}/kills.sqlite3",
        }
    ) | {"DJANGO_SETTINGS_MODULE": "securedrop_ftp.project.settings", **extra}
    subprocess.run(
        [sys.executable, "-m", "tests.fixtures.cast"],
        cwd=ROOT, env=env, check=True, capture_output=True,
    )  # fmt: skip
    seed = os.environ.get("KILLS_SEED", "1")
    done = subprocess.run(
        [
            sys.executable, "-m", "tests.faults.kills",
            "--kills", str(kills), "--seed", seed, *arguments,
        ],
        cwd=ROOT, env=env, text=True, timeout=60 + 20 * kills, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE if not LONG else None,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + (done.stderr or "")[-4000:]
    print(done.stdout)
    assert json.loads(done.stdout)["killed"] >= kills


@pytest.mark.timeout(60 + 20 * (LONG or 30))
def test_a_worker_killed_at_any_step_breaks_no_promise_on_a_file_system(tmp_path: Path) -> None:
    kill(tmp_path, f"file://{tmp_path}/storage", {}, kills=LONG or 30)


@pytest.mark.timeout(60 + 20 * (LONG or 10))
def test_a_worker_killed_at_any_step_breaks_no_promise_on_s3(
    tmp_path: Path, moto_server: MotoServer
) -> None:
    url = moto_server.url(moto_server.bucket())
    kill(tmp_path, url, CREDENTIALS | PATIENCE, *LARGE, kills=LONG or 10)


@pytest.mark.skipif(not LONG, reason="long: KILLS=500, with Ceph from Debian's packages")
@pytest.mark.timeout(360 + 20 * (LONG or 10))
def test_a_worker_killed_at_any_step_breaks_no_promise_on_ceph(tmp_path: Path) -> None:
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
        url = f"s3://{server['name']}/kills?{query}"
        kill(tmp_path, url, credentials | PATIENCE, *LARGE, kills=LONG)
