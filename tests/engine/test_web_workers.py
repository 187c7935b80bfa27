"""Workers of a web server that knows nothing of us upload through engines of their own."""

from __future__ import annotations

import hashlib
import http.client
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from securedrop_ftp.project.demo.children import Child
from tests.engine.test_lifecycle import BEGIN
from tests.fixtures.databases import SharedDatabase
from tests.fixtures.processes import ROOT, accepts, free_port, wait_until

UPLOADS = """
from securedrop_ftp.models import Upload
owners = set(Upload.objects.filter(state="committed").values_list("owner", flat=True))
print(json.dumps([len(owners), len(boots())]))
"""


def put(port: int, number: int) -> tuple[str, str]:
    data = f"{number} ".encode() * 50_000
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("PUT", f"/{number}", data)
    answer = connection.getresponse()
    assert answer.read().decode() == hashlib.sha256(data).hexdigest()
    return answer.headers["X-Process"], f"/{number}"


@pytest.mark.slow
@pytest.mark.parametrize("shared_database", ["postgres"], indirect=True)
def test_each_worker_has_an_engine_and_leaves_no_trace_of_it(
    shared_database: SharedDatabase, tmp_path: Path
) -> None:
    (tmp_path / "stored").mkdir()
    shared_database.env["SECUREDROP_STORAGE_URL"] = f"file://{tmp_path / 'stored'}"
    port = free_port()
    argv = [
        *(sys.executable, "-m", "granian", "--interface", "wsgi", "--http", "1"),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "2"),
        "tests.engine.webapp:application",
    ]
    child = Child("granian", argv, env=shared_database.env, output=tmp_path, cwd=ROOT)
    try:
        wait_until(lambda: accepts(port), "granian", child)
        with ThreadPoolExecutor(8) as clients:
            served = list(clients.map(put, [port] * 40, range(40)))
    finally:
        child.stop(20)
    assert len(list((tmp_path / "stored" / "acme").iterdir())) == 40
    told = shared_database.run("-c", BEGIN + UPLOADS).splitlines()[-1]
    assert json.loads(told) == [len({process for process, _ in served}), 0]
