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


# A process that is not ours, with requests of its own on its main thread and on others.
FOREIGN = """
from concurrent.futures import ThreadPoolExecutor
from django.conf import settings
if sys.argv[1] == "pool":
    settings.DATABASES["default"]["OPTIONS"]["pool"] = {"min_size": 1, "max_size": 4}
    settings.DATABASES["default"]["CONN_MAX_AGE"] = 0
from django.db import DatabaseError, connection, transaction
from securedrop_ftp.db.connections import LIMITS

def limits():
    with connection.cursor() as cursor:
        return [cursor.execute(f"SHOW {name}").fetchone()[0] for name in LIMITS]

def request():
    try:
        return limits()
    finally:
        connection.close()

ours = engine.current().start()
bounded = [
    ours._running().writer.call(limits),
    *(ours.accounts.submit("k", limits).result(30) for _ in "ab"),
    *(ours.storage.submit("k", limits).result(30) for _ in "ab"),
]
with ThreadPoolExecutor(1) as others:
    free = [request(), *(others.submit(request).result(30) for _ in range(9)), request()]
print(json.dumps([sorted({str(v) for v in bounded}), sorted({str(v) for v in free})]))

# What blocks there: another session's lock. The writer gives the statement up, and goes on.
LIMITS["statement_timeout"] = "1s"
ours.close()
ours = engine.current().start()
ServiceBoot.objects.update(service="process")
with transaction.atomic():
    ServiceBoot.objects.select_for_update().get()
    blocked = ours._running().writer.submit(lambda: ServiceBoot.objects.update(service="process"))
    print(json.dumps(isinstance(blocked.exception(30), DatabaseError)))
print(json.dumps(ours._running().writer.call(ServiceBoot.objects.count, 30)))
"""


@pytest.mark.integration
@pytest.mark.parametrize("shared_database", ["postgres"], indirect=True)
@pytest.mark.parametrize("connections", ["own", "pool"])
def test_in_a_foreign_process_the_engines_statements_are_bounded_and_the_projects_are_not(
    shared_database: SharedDatabase, connections: str
) -> None:
    if connections == "pool":
        pytest.importorskip("psycopg_pool")
    told = shared_database.run("-c", BEGIN + FOREIGN, connections).splitlines()
    assert [json.loads(line) for line in told] == [
        [["['20s', '1min']"], ["['0', '0']"]],
        True,
        1,
    ]
