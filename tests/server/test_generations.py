"""A service is replaced by new code or settings, and no client is refused or cut for it."""

from __future__ import annotations

import ftplib
import os
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from securedrop_ftp.server.handover import GENERATIONS
from securedrop_ftp.server.status import ServiceStatus, read_status
from tests.clients import FtpsClient
from tests.fixtures.processes import ROOT, wait_until
from tests.fixtures.served import Serve, ServedFtps, _children

PART = 64 * 1024
CUT = "426 The service is shutting down"


def status(ftps: ServedFtps) -> ServiceStatus:
    found = read_status(Path(str(ftps.settings["DATA_DIR"])))
    assert found is not None
    return found


def replace(ftps: ServedFtps, *, drained: bool = False) -> int:
    """The number of the new generation; with ``drained`` no other one lives any more."""
    before = status(ftps).generation
    os.kill(ftps.pid, signal.SIGUSR2)
    wait_until(lambda: status(ftps).generation > before, "the new generation", ftps.child)
    number = status(ftps).generation
    if drained:
        wait_until(lambda: len(ftps.generations) == 1, "the end of the old generation")
    return number


def await_drains(ftps: ServedFtps, workers: int) -> None:
    """So many workers have drained, or do: they accept no more."""
    wait_until(lambda: len(ftps.log_lines("worker.draining")) >= workers, "the drain")


def begun(client: FtpsClient, path: str, size: int) -> ssl.SSLSocket:
    """An upload that has sent so much and goes on."""
    client.voidcmd("TYPE I")
    data = client.transfercmd(f"STOR {path}")
    assert isinstance(data, ssl.SSLSocket)
    data.sendall(b"x" * size)
    return data


def ended(client: FtpsClient, data: ssl.SSLSocket, rest: bytes = b"end") -> str:
    """Its reply, once the rest was sent."""
    data.sendall(rest)
    data.unwrap()
    data.close()
    return client.final_reply()


def row_of(ftps: ServedFtps, path: str) -> dict[str, object]:
    return [row for row in ftps.uploads() if row["path"] == path][-1]


def all_processes(ftps: ServedFtps) -> list[int]:
    return [ftps.pid, *ftps.generations, *ftps.workers]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Crowd:
    """Threads that connect and log in again and again, and what went wrong for them."""

    def __init__(self, ftps: ServedFtps, threads: int) -> None:
        self.failures: list[str] = []
        self.logins = 0
        self._ftps, self._over = ftps, threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                with self._ftps.login() as client:
                    self.logins += 1
                    client.quit()
            except ftplib.error_temp as exc:
                # A session may be told to connect again once it is logged in; a login may not.
                if "shutting down" not in str(exc):
                    self.failures.append(repr(exc))
            except Exception as exc:
                self.failures.append(repr(exc))

    def __enter__(self) -> Crowd:
        for thread in self._threads:
            thread.start()
        wait_until(lambda: self.logins > 0 or bool(self.failures), "the first login")
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


def test_through_five_replacements_nobody_is_refused_or_reset_and_every_login_succeeds(
    served: Serve,
) -> None:
    ftps = served(workers=2)
    pid = ftps.pid
    with Crowd(ftps, threads=4) as crowd:
        for expected in range(2, 7):
            assert replace(ftps) == expected
            logins = crowd.logins
            wait_until(lambda: crowd.logins > logins + 4, "logins at the new one")  # noqa: B023
    assert crowd.failures == []
    wait_until(lambda: len(ftps.generations) == 1, "the end of the old generations")
    assert status(ftps).pid == pid  # for whoever watches the service it is the same process
    assert ftps.stop() == 0


def test_a_running_upload_ends_in_the_generation_that_began_it(served: Serve) -> None:
    ftps = served()
    (old,) = ftps.workers
    with ftps.login() as client, ftps.login("bob") as idle:
        data = begun(client, "/through.bin", 100_000)
        replace(ftps)
        assert old in ftps.workers
        with ftps.login() as other:
            assert other.upload("/beside.txt", b"new").startswith("226")
        assert ended(client, data).startswith("226")
        assert idle.final_reply().startswith("421 ")  # it had come to rest
        wait_until(lambda: old not in ftps.workers, "the end of the old generation")
    assert ftps.stored("acme/through.bin") == b"x" * 100_000 + b"end"


@pytest.mark.parametrize("how", ["REST", "APPE"])
def test_what_is_cut_at_the_limit_gets_its_reply_and_goes_on_in_the_next_generation(
    served: Serve, how: str
) -> None:
    ftps = served(options={"replace_timeout": 0, "part_size": PART})
    path = "/cut.bin"
    with ftps.login() as client:
        data = begun(client, path, 5 * PART)
        wait_until(lambda: row_of(ftps, path)["received"] >= 4 * PART, "recorded parts")  # type: ignore[operator]
        replace(ftps)
        assert client.final_reply().startswith(CUT)
        assert client.final_reply().startswith("421 ")
        data.close()
    assert row_of(ftps, path)["state"] == "suspended"
    content = b"x" * (8 * PART)
    with ftps.login() as client:
        durable = client.size(path)
        assert durable
        client.voidcmd("TYPE I")
        if how == "REST":
            assert client.try_to_store(f"STOR {path}", content[durable:], durable)[:3] == "226"
        else:
            assert client.try_to_store(f"APPE {path}", content[durable:])[:3] == "226"
    assert ftps.stored("acme/cut.bin") == content


def test_a_stop_cuts_what_is_late_with_a_reply_and_keeps_what_came(served: Serve) -> None:
    ftps = served(options={"drain_timeout": 0, "part_size": PART})
    path = "/stopped.bin"
    with ftps.login() as client, ftps.login("bob") as idle:
        data = begun(client, path, 5 * PART)
        wait_until(lambda: row_of(ftps, path)["received"] >= 4 * PART, "recorded parts")  # type: ignore[operator]
        assert ftps.stop() == 0
        assert client.final_reply().startswith(CUT)
        assert client.final_reply().startswith("421 ")
        assert idle.final_reply().startswith("421 ")
        data.close()
    assert row_of(ftps, path)["state"] == "suspended"


def test_a_download_that_is_cut_is_told_too(served: Serve) -> None:
    ftps = served(options={"replace_timeout": 0})
    with ftps.login() as client:
        client.upload("/large.bin", os.urandom(20_000_000))
        client.voidcmd("TYPE I")
        with client.transfercmd("RETR /large.bin") as data:
            data.recv(1000)
            replace(ftps)
            assert client.final_reply().startswith(CUT)


def test_a_new_generation_that_cannot_serve_says_why_and_the_old_one_serves_on(
    served: Serve, tmp_path: Path
) -> None:
    lines, key = tmp_path / "lines", tmp_path / "server.key"
    lines.write_text("10")
    ftps = served(options={"max_bad_commands_file": lines}, start=False)
    key.write_bytes(Path(str(ftps.settings["TLS_KEY_FILE"])).read_bytes())
    ftps.settings["TLS_KEY_FILE"] = key
    ftps.start()
    before = ftps.workers
    for file, reason in (lines, "MAX_BAD_COMMANDS"), (key, "key"):
        content = file.read_bytes()
        file.write_bytes(b"none")
        said = ftps.manage("ftps_replace", check=False)
        assert "Generation 1 serves on: the new one does not start." in said
        assert reason in said
        assert set(before) <= set(ftps.workers)
        assert reason in status(ftps).replacement_refused
        with ftps.login() as client:
            assert client.sendcmd("NOOP").startswith("200")
        file.write_bytes(content)
    assert ftps.manage("ftps_replace") == f"Generation 4 serves (pid {ftps.pid}).\n"
    assert status(ftps).replacement_refused == ""
    assert ftps.stop() == 0


def test_a_new_generation_that_crashes_at_once_changes_nothing(
    served: Serve, tmp_path: Path
) -> None:
    module = tmp_path / "settings_on_disk.py"
    good = "from securedrop_ftp.project.settings import *\n"
    module.write_text(good)
    ftps = served(env={"DJANGO_SETTINGS_MODULE": module.stem, "PYTHONPATH": f"{tmp_path}:{ROOT}"})
    before = ftps.workers
    module.write_text(good + "import os\nos._exit(3)\n")
    os.kill(ftps.pid, signal.SIGUSR2)
    wait_until(lambda: bool(status(ftps).replacement_refused), "the refusal")
    assert "exit code 3" in status(ftps).replacement_refused
    assert set(before) <= set(ftps.workers)
    module.write_text(good)
    replace(ftps, drained=True)


def test_two_replacements_at_once_leave_one_generation_of_the_newest_code(served: Serve) -> None:
    ftps = served()
    os.kill(ftps.pid, signal.SIGUSR2)
    wait_until(lambda: len(ftps.generations) == 2, "the second generation")
    os.kill(ftps.pid, signal.SIGUSR2)  # the second may have read the code already
    wait_until(lambda: status(ftps).generation == 3, "the third generation")
    wait_until(lambda: len(ftps.generations) == 1, "the end of the others")
    with ftps.login() as client:
        assert client.sendcmd("NOOP").startswith("200")


def test_a_replacement_while_others_drain_is_taken_as_long_as_there_is_a_place(
    served: Serve,
) -> None:
    ftps = served()
    with ExitStack() as stack:
        uploads = []
        for n in range(GENERATIONS):
            client = stack.enter_context(ftps.login())
            uploads.append((client, begun(client, f"/in-{n}.bin", 1000)))
            if n < GENERATIONS - 1:
                replace(ftps)
                await_drains(ftps, n + 1)
        assert len(ftps.generations) == GENERATIONS
        said = ftps.manage("ftps_replace", check=False)
        assert f"{GENERATIONS - 1} earlier generations have not ended" in said
        for client, data in uploads:
            assert ended(client, data).startswith("226")
    wait_until(lambda: len(ftps.generations) == 1, "the end of the old ones")
    replace(ftps, drained=True)


def test_a_stop_during_a_replacement_ends_both(served: Serve) -> None:
    ftps = served()
    with ftps.login() as client:
        data = begun(client, "/both.bin", 1000)
        replace(ftps)
        processes = all_processes(ftps)
        ftps.child.process.send_signal(signal.SIGTERM)
        wait_until(lambda: len(ftps.generations) == 1, "the end of the new generation")
        assert ended(client, data).startswith("226")
    assert ftps.child.process.wait() == 0
    assert not any(alive(pid) for pid in processes)


def test_a_stop_while_a_generation_starts_ends_all(served: Serve) -> None:
    ftps = served()
    os.kill(ftps.pid, signal.SIGUSR2)
    wait_until(lambda: len(ftps.generations) == 2, "the second generation")
    processes = all_processes(ftps)
    assert ftps.stop() == 0
    assert not any(alive(pid) for pid in processes)


def test_the_old_generation_killed_leaves_its_uploads_to_the_new_one(served: Serve) -> None:
    ftps = served(options={"part_size": PART, "max_connections_per_ip": 3})
    path = "/killed.bin"
    with ftps.login() as client, ftps.login():
        data = begun(client, path, 5 * PART)
        wait_until(lambda: row_of(ftps, path)["received"] >= 4 * PART, "recorded parts")  # type: ignore[operator]
        (old,) = ftps.generations
        workers = ftps.workers
        replace(ftps)
        os.kill(old, signal.SIGKILL)
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        wait_until(lambda: row_of(ftps, path)["state"] == "suspended", "the settlement")
        data.close()
    with ExitStack() as stack:  # its places are free
        for _ in range(3):
            client = stack.enter_context(ftps.login())
        durable = client.size(path)
        assert durable
        assert client.try_to_store(f"STOR {path}", b"y", durable).startswith("226")


def test_the_serving_generation_killed_ends_the_service_and_its_uploads_well(
    served: Serve,
) -> None:
    ftps = served()
    with ftps.login() as client:
        data = begun(client, "/first.bin", 1000)
        replace(ftps)
        processes = all_processes(ftps)
        os.kill(ftps.generations[-1], signal.SIGKILL)
        assert ended(client, data).startswith("226")
    assert ftps.child.process.wait() == 1
    wait_until(lambda: not any(alive(pid) for pid in processes), "the end of all")
    assert ftps.restart().workers


def test_the_master_killed_ends_all_generations(served: Serve) -> None:
    ftps = served()
    with ftps.login() as client:
        data = begun(client, "/orphan.bin", 1000)
        replace(ftps)
        processes = all_processes(ftps)
        ftps.kill()
        assert ended(client, data).startswith("226")
    wait_until(lambda: not any(alive(pid) for pid in processes), "the end of all")


def test_caps_hold_across_generations(served: Serve) -> None:
    ftps = served(options={"max_connections_per_ip": 3})
    with ftps.login() as client, ftps.login() as second:
        uploads = [(c, begun(c, f"/cap-{n}.bin", 1000)) for n, c in enumerate((client, second))]
        replace(ftps)
        with (
            ftps.login(),
            pytest.raises(ftplib.error_temp, match="421 Too many"),
            ftps.connect(),
        ):
            pass
        for one, data in uploads:
            assert ended(one, data).startswith("226")


def counting_memory(worker: int) -> dict[str, str]:
    """What a worker counts by, and the inode of that memory."""
    lines = Path(f"/proc/{worker}/maps").read_text().splitlines()
    maps = [line.split() for line in lines if "/memfd:securedrop-" in line]
    return {name: inode for _, _, _, _, inode, name, *_ in maps if "families" not in name}


def test_a_replacement_gives_a_guesser_no_fresh_budget(served: Serve) -> None:
    ftps = served()
    before = counting_memory(ftps.workers[0])
    for what in "connections", "logins", "arrivals", "refusals":
        assert any(f"securedrop-{what}" in name for name in before), what
    replace(ftps, drained=True)
    assert counting_memory(ftps.workers[0]) == before


@contextmanager
def systemd(path: Path) -> Iterator[socket.socket]:
    """What a service reports to."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(path))
        sock.settimeout(60)
        yield sock


#: Binds a listener as a socket unit does and becomes the command behind it.
ACTIVATE = """
import os, socket, sys
sock = socket.create_server(("127.0.0.1", int(sys.argv[1])))
os.dup2(sock.fileno(), 3)
os.set_inheritable(3, True)  # also where it was 3 before
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_under_systemd_the_socket_is_its_own_and_each_state_is_reported(
    served: Serve, tmp_path: Path
) -> None:
    ftps = served(start=False)
    port = str(ftps.settings["FTPS_BIND"]).rpartition(":")[2]
    ftps.settings["FTPS_BIND"] = "127.0.0.1:1"  # not used
    ftps.launcher = [sys.executable, "-c", ACTIVATE, port]
    address = f"/tmp/restart-notify-{os.getpid()}"
    with systemd(Path(address)) as told:
        ftps.extra_environment["NOTIFY_SOCKET"] = address
        try:
            ftps.start()
            assert b"READY=1" in told.recv(1000)
            assert ftps.port == int(port)
            replace(ftps, drained=True)
            assert b"Generation 2 serves" in told.recv(1000)
            with ftps.login() as client:
                assert client.sendcmd("NOOP").startswith("200")
            assert ftps.stop() == 0
            assert told.recv(1000) == b"STOPPING=1"
        finally:
            Path(address).unlink()


#: Becomes the command behind it, with one argument more.
WITH_ARGUMENT = "import os, sys; os.execv(sys.argv[2], [*sys.argv[2:], sys.argv[1]])"


def test_variables_in_the_file_of_the_environment_are_taken_anew(
    served: Serve, tmp_path: Path
) -> None:
    file = tmp_path / "env"
    file.write_text("SECUREDROP_FTPS_WORKERS=1\n")
    ftps = served(start=False)
    ftps.launcher = [sys.executable, "-c", WITH_ARGUMENT, f"--environment-file={file}"]
    ftps.start()
    file.write_text("SECUREDROP_FTPS_WORKERS=3\n")
    replace(ftps, drained=True)
    assert status(ftps).workers == 3
    file.write_text("what is this")
    os.kill(ftps.pid, signal.SIGUSR2)
    wait_until(lambda: bool(status(ftps).replacement_refused), "the refusal")
    assert "not NAME=value" in status(ftps).replacement_refused
    with ftps.login() as client:
        assert client.sendcmd("NOOP").startswith("200")


def boots(ftps: ServedFtps) -> int:
    return len(ftps.query("SELECT id FROM securedrop_ftp_serviceboot"))


SLOW_SETTINGS = """
from securedrop_ftp.project.settings import *
INSTALLED_APPS = [*INSTALLED_APPS, "slow_app.Slow"]
"""

#: A check that takes as long as a file is there, and what hangs at the interpreter's end.
SLOW_APP = """
import pathlib, time
from django.apps import AppConfig

class Slow(AppConfig):
    name = "slow_app"

    def ready(self):
        from securedrop_ftp.server import housekeeping, master
        master.HEALTHY_AFTER = 0.0
        look = housekeeping._look_at_storages

        def look_slowly(boot):
            while pathlib.Path("{gate}").exists():
                time.sleep(0.05)
            return look(boot)

        housekeeping._look_at_storages = look_slowly

class AtTheEnd:
    def __del__(self):
        time.sleep(30)

at_the_end = AtTheEnd()
"""


@pytest.fixture
def slow(served: Serve, tmp_path: Path) -> ServedFtps:
    """A service whose next generation is held up in its checks while ``gate`` is there."""
    module = tmp_path / "slow_settings.py"
    module.write_text(SLOW_SETTINGS)
    (tmp_path / "slow_app.py").write_text(SLOW_APP.format(gate=tmp_path / "gate"))
    return served(
        env={"DJANGO_SETTINGS_MODULE": module.stem, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        options={"presence_interval": 0.2},
    )


def test_a_new_generation_that_is_told_to_stop_in_its_checks_leaves_no_row(
    slow: ServedFtps, tmp_path: Path
) -> None:
    before, gate = slow.workers, tmp_path / "gate"
    gate.touch()
    os.kill(slow.pid, signal.SIGUSR2)
    wait_until(lambda: boots(slow) == 2, "the row of the new generation", slow.child)
    new = slow.generations[-1]
    (checks,) = _children(new)
    os.kill(new, signal.SIGTERM)
    wait_until(lambda: bool(status(slow).replacement_refused), "the refusal", slow.child)
    assert "told to stop (SIGTERM)" in status(slow).replacement_refused
    assert status(slow).generation == 1
    assert boots(slow) == 1
    assert not alive(checks)
    assert set(before) <= set(slow.workers)
    gate.unlink()
    replace(slow, drained=True)
    assert slow.stop() == 0


def test_a_stop_waits_neither_for_the_checks_of_a_new_generation_nor_for_the_interpreters_end(
    slow: ServedFtps, tmp_path: Path
) -> None:
    (tmp_path / "gate").touch()
    os.kill(slow.pid, signal.SIGUSR2)
    wait_until(lambda: boots(slow) == 2, "the row of the new generation", slow.child)
    processes = all_processes(slow)
    assert slow.stop() == 0  # within STOP_TIMEOUT, or it would have been killed
    assert not any(alive(pid) for pid in processes)
    assert boots(slow) == 0


def test_a_serving_supervisor_that_is_killed_is_replaced_and_its_rows_are_settled(
    slow: ServedFtps,
) -> None:
    with slow.login() as client:
        assert client.upload("/before.bin", b"x").startswith("226")
        data = begun(client, "/during.bin", 1000)
        (killed,), workers = slow.generations, slow.workers
        os.kill(killed, signal.SIGKILL)
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        wait_until(lambda: status(slow).generation == 2, "the next generation", slow.child)
        data.close()
    with slow.login() as client:
        assert client.upload("/after.bin", b"x").startswith("226")
    states = {str(row["path"]): row["state"] for row in slow.uploads()}
    assert states.pop("/during.bin") in ("aborted", "suspended")
    assert states == {"/before.bin": "committed", "/after.bin": "committed"}
    assert slow.keys() == ["acme/after.bin", "acme/before.bin"]
    replace(slow, drained=True)
    assert slow.restart().workers
    assert boots(slow) == 1


def metric_files(ftps: ServedFtps) -> set[str]:
    folder = Path(str(ftps.settings["DATA_DIR"])) / "metrics"
    return {file.name for file in folder.glob("*") if not file.name.startswith(".")}


def test_metrics_of_workers_that_are_gone_are_removed_however_they_ended(slow: ServedFtps) -> None:
    wait_until(lambda: metric_files(slow) == {"worker-0.prom"}, "the metrics", slow.child)
    (generation,), (worker,) = slow.generations, slow.workers
    os.kill(generation, signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)  # with nobody there to see it
    wait_until(lambda: status(slow).generation == 2, "the next generation", slow.child)
    wait_until(lambda: metric_files(slow) == {"worker-1.prom"}, "its metrics alone", slow.child)
    folder = Path(str(slow.settings["DATA_DIR"])) / "metrics"
    (worker,) = slow.workers
    os.kill(worker, signal.SIGSTOP)  # it writes no more
    (folder / ".worker-1.prom.123").touch()
    (folder / "of-somebody-else.prom").touch()
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: not (folder / ".worker-1.prom.123").exists(), "the removal", slow.child)
    processes = all_processes(slow)
    slow.kill()
    wait_until(lambda: not any(alive(pid) for pid in processes), "the end")
    (folder / "worker-7.prom").touch()
    slow.restart()
    wait_until(lambda: "worker-0.prom" in metric_files(slow), "the metrics", slow.child)
    assert metric_files(slow) == {"worker-0.prom", "of-somebody-else.prom"}
