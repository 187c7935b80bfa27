"""Interrupted uploads go on where they stopped, with the clients that partners use.

Short and seeded in every run; ``make test-resume`` sets the variables for 20 cuts of 200 MiB.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.clients import reset_on_close
from tests.fixtures.cast import password_of
from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve, ServedFtps

MIB = 1024 * 1024
CUTS = int(os.environ.get("CUTS", "2"))
SIZE = int(os.environ.get("RESUME_MIB", "24")) * MIB
PART = {"filesystem": 1 * MIB, "s3": 5 * MIB}

PLACES = [("sqlite", "filesystem"), ("postgres", "s3")]


@pytest.fixture(params=PLACES, ids="-".join)
def place(request: pytest.FixtureRequest, standing: Serve) -> ServedFtps:
    database, storage = request.param
    return standing(database, storage, options={"part_size": PART[storage]}, workers=2)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("resume") / "source.bin"
    path.write_bytes(random.Random(7).randbytes(SIZE))
    yield path
    path.unlink()


def row_of(ftps: ServedFtps, path: str) -> dict[str, Any]:
    return [r for r in ftps.uploads() if r["path"] == path][-1]


def wait_suspended(ftps: ServedFtps, path: str) -> None:
    wait_until(lambda: row_of(ftps, path)["state"] == "suspended", f"{path} to be suspended")


def cut_by_python(ftps: ServedFtps, source: Path, path: str, at: int) -> None:
    """Send ``at`` bytes, then RST."""
    with ftps.login() as client, source.open("rb") as file:
        client.voidcmd("TYPE I")
        data = client.transfercmd(f"STOR {path}")
        sent = 0
        while sent < at:
            chunk = file.read(min(MIB, at - sent))
            data.sendall(chunk)
            sent += len(chunk)
        reset_on_close(data)
        data.close()
        assert client.final_reply()[0] == "4"
    wait_suspended(ftps, path)


def kill_when_received(
    ftps: ServedFtps, path: str, arguments: list[str], at: int, env: dict[str, str] | None = None
) -> None:
    """Run a client, SIGKILL it once the ledger has about ``at`` bytes."""
    client = subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env
    )
    try:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline and client.poll() is None:
            rows = [r for r in ftps.uploads() if r["path"] == path]
            if rows and rows[-1]["received"] >= at:
                break
            time.sleep(0.02)
        assert client.poll() is None, "the client was through before it could be cut"
    finally:
        client.send_signal(signal.SIGKILL)
        client.wait()
    wait_suspended(ftps, path)


@cache
def digest_of(source: Path) -> str:
    return hashlib.sha256(source.read_bytes()).hexdigest()


def check_whole(ftps: ServedFtps, source: Path, path: str) -> None:
    expected = digest_of(source)
    assert hashlib.sha256(ftps.stored(f"acme{path}")).hexdigest() == expected
    row = row_of(ftps, path)
    assert (row["state"], row["size"], row["sha256"]) == ("committed", SIZE, expected)
    assert row["resumed_at"] > 0
    (event,) = [e for e in ftps.audit("upload.committed") if e["path"] == path]
    # On a busy machine moto may not answer in time that it has published: then the client was told
    # so, and its next try was answered from the ledger (invariant 2).
    assert f"joined at {row['resumed_at']}" in event["reply"] or event["reply"].startswith(
        "451 Outcome pending"
    )
    with ftps.login() as client:  # 80 of 200 MiB would fill moto's memory
        client.delete(path)


def random_cut(name: str, number: int, least: int) -> int:
    return random.Random(f"{name}{number}").randrange(least, SIZE - 1)


def least_of(ftps: ServedFtps) -> int:
    """A cut below has no whole part that could be kept."""
    return 2 * max(
        PART["s3"] if "s3" in str(ftps.settings["STORAGE_URL"]) else PART["filesystem"], 1
    )


@pytest.mark.parametrize("number", range(CUTS))
def test_python_resumes_with_rest_and_stor(place: ServedFtps, source: Path, number: int) -> None:
    path = f"/python-{number}.bin"
    at = random_cut("python", number, least_of(place))
    cut_by_python(place, source, path, at)
    with place.login() as client, source.open("rb") as file:
        durable = client.size(path)
        assert durable is not None
        assert 0 < durable < at
        assert f"size={durable};" in client.sendcmd(f"MLST {path}")
        assert path[1:] in client.names()
        assert f"acme{path}" not in set(place.keys())
        client.voidcmd("TYPE I")
        assert client.reply_to(f"REST {durable + 1}").startswith("350")
        client.makepasv()
        refused = client.reply_to(f"STOR {path}")
        assert refused.startswith("554")
        assert str(durable) in refused
        file.seek(durable)
        client.voidcmd("TYPE I")
        reply = client.storbinary(f"STOR {path}", file, blocksize=MIB, rest=durable)
        assert f"joined at {durable}" in reply
    check_whole(place, source, path)


@pytest.mark.parametrize("number", range(CUTS))
def test_curl_resumes(place: ServedFtps, source: Path, number: int) -> None:
    path = f"/curl-{number}.bin"
    at = random_cut("curl", number, least_of(place)) // 2
    url = f"ftp://127.0.0.1:{place.port}{path}"
    login = ["--ssl-reqd", "--cacert", str(place.ca), "-u", f"alice:{password_of('alice')}"]
    rate = f"{max(SIZE // 6 // MIB, 2)}M"
    kill_when_received(
        place, path, ["curl", "-s", *login, "--limit-rate", rate, "-T", str(source), url], at
    )
    done = place.curl("-C", "-", "-T", str(source), path=path)
    assert done.returncode == 0, done.stderr
    check_whole(place, source, path)


@pytest.mark.parametrize("number", range(CUTS))
@pytest.mark.parametrize("how", ["put", "mirror"])
def test_lftp_resumes(
    place: ServedFtps, source: Path, tmp_path: Path, number: int, how: str
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    name = f"lftp-{how}-{number}.bin"
    local = tree / name
    local.hardlink_to(source)
    path = f"/{name}"
    at = random_cut(f"lftp{how}", number, least_of(place)) // 2
    script = (
        "set ftp:ssl-force true; set ftp:ssl-protect-data true; "
        f"set ssl:ca-file {place.ca}; set net:limit-rate 0:{max(SIZE // 6, 2 * MIB)}; "
        f"open -u alice,{password_of('alice')} ftp://127.0.0.1:{place.port}; put {local} -o {path}"
    )
    home = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}
    kill_when_received(place, path, ["lftp", "-c", script], at, env=home)
    resume: dict[str, str] = {
        "put": f"put -c {local} -o {path}",
        "mirror": f"mirror -R -c --include-glob {name} {tree} /",
    }
    done = place.lftp(resume[how])
    assert done.returncode == 0, done.stderr
    check_whole(place, source, path)


def test_an_upload_is_resumed_on_another_node_after_kill_9(
    served: Serve, standing: Serve, source: Path
) -> None:
    one = served(
        "postgres", "s3", options={"part_size": PART["s3"]}, env={"SECUREDROP_NODE": "one"}
    )
    two = served(
        "postgres",
        "s3",
        options={"part_size": PART["s3"]},
        beside=one,
        env={"SECUREDROP_NODE": "two"},
    )
    path = "/two-nodes.bin"
    with one.login() as client, source.open("rb") as file:
        client.voidcmd("TYPE I")
        data = client.transfercmd(f"STOR {path}")
        data.sendall(file.read(17 * MIB))
        wait_until(lambda: row_of(one, path)["received"] >= 10 * MIB, "recorded parts")
        for pid in [one.pid, *one.workers]:
            os.kill(pid, signal.SIGKILL)
        one.child.process.wait()
        data.close()
    one.faults_expected = True
    one.start()
    wait_suspended(two, path)
    with two.login() as client, source.open("rb") as file:
        durable = client.size(path)
        assert durable
        file.seek(durable)
        client.voidcmd("TYPE I")
        client.storbinary(f"STOR {path}", file, blocksize=MIB, rest=durable)
    check_whole(two, source, path)


def test_a_plain_stor_starts_anew_and_the_suspended_upload_is_gone_when_it_is_stored(
    place: ServedFtps, source: Path
) -> None:
    path = "/anew.bin"
    cut_by_python(place, source, path, 12 * MIB)
    with place.login() as client:
        assert client.upload(path, b"something else").startswith("226")
        assert client.size(path) == len(b"something else")
    assert place.stored(f"acme{path}") == b"something else"


def test_the_owner_discards_its_suspended_upload_in_drop_mode_too(
    place: ServedFtps, source: Path
) -> None:
    with place.login("carol") as client:
        client.voidcmd("TYPE I")
        data = client.transfercmd("STOR /dropped.bin")
        with source.open("rb") as file:
            data.sendall(file.read(12 * MIB))
        reset_on_close(data)
        data.close()
        client.final_reply()
        wait_suspended(place, "/dropped.bin")
        assert client.size("/dropped.bin")
        assert client.sendcmd("DELE /dropped.bin").startswith("250")
        assert client.reply_to("SIZE /dropped.bin").startswith("550")
        assert client.reply_to("DELE /dropped.bin").startswith("550")


def test_under_version_a_finished_file_does_not_pass_for_a_suspended_one(
    place: ServedFtps,
) -> None:
    """Ten minutes after its 226: who checks what it sent sees it until then."""
    with place.login("carol") as client:
        client.upload("/finished.bin", b"first delivery")
        assert client.size("/finished.bin") == 14
        grow_old(place, "/finished.bin")
        assert client.reply_to("SIZE /finished.bin").startswith("550")
        assert client.reply_to("MLST /finished.bin").startswith("550")
        second = client.upload("/finished.bin", b"second delivery")
        assert "stored as finished (1).bin" in second


def grow_old(ftps: ServedFtps, path: str) -> None:
    ago = "datetime('now', '-11 minutes')"
    if ftps.database_url.startswith("postgres"):
        ago = "now() - interval '11 minutes'"
    ftps.query(f"UPDATE securedrop_ftp_upload SET finished = {ago} WHERE path = %s", path)


@pytest.mark.parametrize("client", ["curl -C -", "lftp put -c"])
def test_tomorrows_file_of_the_same_name_and_size_is_delivered(
    place: ServedFtps, client: str, tmp_path: Path
) -> None:
    """A client that goes on with what it takes for its own would send nothing, and say that all
    went well."""
    today = tmp_path / f"daily-{client.partition(' ')[0]}.bin"
    for day in (b"a", b"b"):
        today.write_bytes(day * 5000)
        if client.startswith("curl"):
            done = place.curl("-C", "-", "-T", str(today), username="carol")
            assert done.returncode == 0, done.stderr
        else:
            done = place.lftp(f"put -c {today}", username="carol")
            assert done.returncode == 0, done.stderr
        grow_old(place, f"/{today.name}")
    second = place.uploads()[-1]
    assert (second["state"], second["size"]) == ("committed", 5000)
    assert place.stored(second["key"]) == b"b" * 5000


def test_nobody_else_sees_or_continues_a_suspended_upload(place: ServedFtps, source: Path) -> None:
    path = "/private.bin"
    cut_by_python(place, source, path, 12 * MIB)
    with place.login("bob") as client:
        assert client.reply_to(f"SIZE {path}").startswith("550")
        client.sendcmd("REST 1048576")
        client.makepasv()
        assert client.reply_to(f"STOR {path}").startswith("554")
