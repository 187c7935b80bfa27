"""Many files in one session with each client, session reuse enforced, on each TLS profile."""

from __future__ import annotations

import os
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fixtures.cast import password_of
from tests.fixtures.served import Serve, ServedFtps

SIZES = [0, 1, 1000, 150_000, 1_000_000, 3_000_000]

Run = Callable[[ServedFtps, Path, str], "subprocess.CompletedProcess[str]"]


def with_curl(ftps: ServedFtps, source: Path, target: str) -> subprocess.CompletedProcess[str]:
    names = ",".join(str(path) for path in sorted(source.iterdir()))
    # Without --fail-early curl ends with the status of its last transfer alone.
    return ftps.curl("--ftp-create-dirs", "--fail-early", "-T", f"{{{names}}}", path=f"/{target}/")


def with_lftp(ftps: ServedFtps, source: Path, target: str) -> subprocess.CompletedProcess[str]:
    return ftps.lftp(f"mirror -R --parallel=2 {source} /{target}")


def with_rclone(ftps: ServedFtps, source: Path, target: str) -> subprocess.CompletedProcess[str]:
    obscured = subprocess.run(
        ["rclone", "obscure", password_of("alice")], capture_output=True, text=True, check=True
    ).stdout.strip()
    remote = (
        f":ftp,host=127.0.0.1,port={ftps.port},user=alice,pass={obscured},"
        f"explicit_tls=true,no_check_certificate=true:{target}"
    )
    single = ["--retries", "1", "--transfers", "1", "--checkers", "1", "--ftp-concurrency", "1"]
    return subprocess.run(
        ["rclone", "--config", "/dev/null", "copy", str(source), remote, *single],
        capture_output=True,
        text=True,
        timeout=300,
    )


def make_files(directory: Path, count: int) -> Path:
    directory.mkdir()
    for number in range(count):
        size = SIZES[number % len(SIZES)]
        (directory / f"file {number:03}.bin").write_bytes(os.urandom(size))
    return directory


@pytest.mark.parametrize("profile", ["tls12", "modern"])
@pytest.mark.parametrize("run", [with_curl, with_lftp, with_rclone])
def test_every_file_of_a_session_arrives_whole(
    standing: Serve, tmp_path: Path, run: Run, profile: str
) -> None:
    ftps = standing("sqlite", "filesystem", options={"tls_profile": profile})
    source = make_files(tmp_path / "source", 60)
    done = run(ftps, source, run.__name__)
    assert done.returncode == 0, done.stderr
    for path in source.iterdir():
        assert ftps.stored(f"acme/{run.__name__}/{path.name}") == path.read_bytes()


def test_python_clients_speak_tls_1_3_on_the_modern_profile(standing: Serve) -> None:
    ftps = standing("sqlite", "filesystem", options={"tls_profile": "modern"})
    with ftps.login(tls13=True) as client:
        assert client.sendcmd("NOOP").startswith("200")
        assert isinstance(client.sock, ssl.SSLSocket)
        assert client.sock.version() == "TLSv1.3"


def test_mget_and_nlst_with_a_pattern_find_their_files(ftps: ServedFtps, tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv", "c.txt"):
        ftps.store.put(f"acme/patterns/{name}", b"0123456789")
    listed = ftps.curl("-X", "NLST *.csv", path="/patterns/")
    assert listed.stdout.split() == ["a.csv", "b.csv"], listed.stderr
    assert "a.csv" in ftps.curl("-X", "LIST -a", path="/patterns/").stdout
    done = ftps.lftp("cd patterns", "nlist *.csv", f"lcd {tmp_path}", "mget *.csv")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv"]
