"""``make demo`` from start to Ctrl-C, as a person does it."""

from __future__ import annotations

import http.cookiejar
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from securedrop_ftp.project.demo.children import Child
from tests.fixtures.certificates import Certificates
from tests.fixtures.moto import CREDENTIALS, MotoServer
from tests.fixtures.processes import PASSIVE_PORTS, ROOT, free_port, wait_until
from tests.fixtures.served import environment

pytestmark = pytest.mark.acceptance

LAST_LINE = "Then see the upload and its audit rows in the admin site."


@dataclass
class RunningDemo:
    child: Child
    data_dir: Path

    @property
    def screen(self) -> str:
        return self.child.out.read_text()

    def line(self, start: str) -> str:
        return next(s for s in map(str.strip, self.screen.splitlines()) if s.startswith(start))

    def paste(self, start: str) -> subprocess.CompletedProcess[str]:
        """Run a printed line as it stands, from another directory."""
        return subprocess.run(
            ["bash", "-c", self.line(start)],
            capture_output=True,
            text=True,
            cwd="/",
            env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]},
            timeout=60,
        )

    def admin_page(self, ca: Path) -> str:
        """The admin's index, after logging in with the printed password."""
        match = re.search(r"(https://\S+)\s+user (\S+)\s+password (\S+)", self.screen)
        assert match is not None
        url, username, password = match.groups()
        cookies = http.cookiejar.CookieJar()
        opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(cookies),
            urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(ca))),
        )
        form = opener.open(f"{url}login/?next=/admin/").read().decode()
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
        assert token is not None
        fields = {"username": username, "password": password, "next": "/admin/"}
        data = urllib.parse.urlencode(fields | {"csrfmiddlewaretoken": token.group(1)}).encode()
        request = urllib.request.Request(
            f"{url}login/?next=/admin/", data, headers={"Referer": url}
        )
        page: str = opener.open(request).read().decode()
        return page

    def processes(self) -> list[int]:
        """Every process that has this demo's data directory in its environment."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    env = (entry / "environ").read_bytes()
                except OSError:
                    continue
                if f"SECUREDROP_DATA_DIR={self.data_dir}\0".encode() in env:
                    found.append(int(entry.name))
        return found


def demo_environment(data_dir: Path, **settings: object) -> dict[str, str]:
    ports = {"FTPS_BIND": f"127.0.0.1:{free_port()}", "WEB_BIND": f"127.0.0.1:{free_port()}"}
    common = {"DATA_DIR": data_dir, "FTPS_WORKERS": 1, "FTPS_PASSIVE_PORTS": PASSIVE_PORTS}
    return environment({**common, **ports, **settings})


@contextmanager
def running_demo(tmp_path: Path, data_dir: Path, env: dict[str, str]) -> Iterator[RunningDemo]:
    # The Makefile's own recipe, with this Python in place of .venv's.
    argv = ["make", "-s", "-o", ".venv/.installed", "demo", f"PY={sys.executable}"]
    child = Child("demo", argv, env=env, output=tmp_path, cwd=ROOT)
    demo = RunningDemo(child, data_dir)
    try:
        wait_until(lambda: LAST_LINE in demo.screen, "the demo", child)
        yield demo
    finally:
        child.stop(30)
        for pid in demo.processes():
            os.kill(pid, signal.SIGKILL)


def test_the_printed_lines_work_and_ctrl_c_leaves_nothing_and_a_second_start_reuses(
    tmp_path: Path,
) -> None:
    data_dir = tmp_path / "data"
    env = demo_environment(data_dir)
    with running_demo(tmp_path, data_dir, env) as demo:
        uploaded = demo.paste("curl ")
        assert uploaded.returncode == 0, uploaded.stderr
        stored = data_dir / "storage" / "demo" / "README.md"
        assert stored.read_bytes() == (ROOT / "README.md").read_bytes()

        mirrored = demo.paste("lftp ")
        assert mirrored.returncode == 0, mirrored.stderr
        tree = data_dir / "storage" / "demo" / "docs"
        here = {p.relative_to(ROOT / "docs") for p in (ROOT / "docs").rglob("*") if p.is_file()}
        assert {p.relative_to(tree) for p in tree.rglob("*") if p.is_file()} == here

        asked = demo.paste("(. ")
        assert "sessions of demo in the last 30 days" in asked.stdout, asked.stderr

        assert "/admin/logout/" in demo.admin_page(ROOT / "certs" / "dev" / "ca.pem")

        os.killpg(demo.child.pid, signal.SIGINT)  # what a terminal does at Ctrl-C
        demo.child.process.wait(30)
        wait_until(lambda: demo.processes() == [], "the demo's end")
        curl_line = demo.line("curl ")
    for name in ("secret_key", "demo.json", "environment"):
        assert (data_dir / name).stat().st_mode & 0o777 == 0o600
    with running_demo(tmp_path, data_dir, env) as again:
        assert again.line("curl ") == curl_line
        assert again.paste("curl ").returncode == 0


def test_the_demo_on_s3_stores_in_the_bucket_and_dies_whole_when_it_is_killed(
    tmp_path: Path, moto_server: MotoServer, certificates: Certificates
) -> None:
    data_dir = tmp_path / "data"
    bucket = moto_server.bucket()
    env = demo_environment(
        data_dir,
        STORAGE_URL=moto_server.url(bucket, "incoming"),
        TLS_CERT_FILE=certificates.server,
        TLS_KEY_FILE=certificates.server_key,
    )
    with running_demo(tmp_path, data_dir, env | CREDENTIALS) as demo:
        uploaded = demo.paste("curl ")
        assert uploaded.returncode == 0, uploaded.stderr
        body = moto_server.client().get_object(Bucket=bucket, Key="incoming/demo/README.md")
        assert body["Body"].read() == (ROOT / "README.md").read_bytes()
        demo.child.process.kill()  # make itself, which can pass nothing on
        wait_until(lambda: demo.processes() == [], "the demo's end")


def refused(env: dict[str, str]) -> str:
    """What a demo that cannot start says."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "demo"],
        env=env,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("variable", ["FTPS_BIND", "WEB_BIND"])
def test_a_taken_port_is_told_with_the_variable_that_chooses_another(
    tmp_path: Path, variable: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = refused(demo_environment(tmp_path, **{variable: f"127.0.0.1:{port}"}))
    assert f"127.0.0.1:{port} is taken" in message
    assert f"SECUREDROP_{variable}=" in message


def test_a_bucket_that_is_not_there_is_told_in_a_sentence(
    tmp_path: Path, moto_server: MotoServer, certificates: Certificates
) -> None:
    env = demo_environment(
        tmp_path,
        STORAGE_URL=moto_server.url("no-such-bucket"),
        TLS_CERT_FILE=certificates.server,
        TLS_KEY_FILE=certificates.server_key,
    )
    message = refused(env | CREDENTIALS)
    assert "Storage “default” cannot be used" in message
    assert "no-such-bucket" in message
