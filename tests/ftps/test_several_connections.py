"""Clients that open several control connections at once and keep one TLS session for all: every
file is stored, whichever connection's session a data channel offers, on whichever worker."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients import curl
from tests.fixtures.cast import password_of
from tests.fixtures.served import Serve, ServedFtps
from tests.ftps.test_rclone import RCLONE, lost

FILES = 30
#: Debian's, whose connections share one TLS session (``tls_cache_size`` came with 1.61).
OLD_RCLONE = Path("/usr/bin/rclone")

Run = Callable[[ServedFtps, Path, str], subprocess.CompletedProcess[str]]


def with_curl(ftps: ServedFtps, source: Path, target: str) -> subprocess.CompletedProcess[str]:
    return curl(
        ftps.port, ftps.ca, "alice", password_of("alice"),
        "-Z", "--parallel-max", "4", "--ftp-create-dirs", "-T", f"{source}/[0-{FILES - 1}].bin",
        path=f"/{target}/",
    )  # fmt: skip


def with_lftp(ftps: ServedFtps, source: Path, target: str) -> subprocess.CompletedProcess[str]:
    return ftps.lftp(f"mirror -R -P 4 {source} {target}")


def with_rclone(program: Path) -> Run:
    def run(ftps: ServedFtps, source: Path, target: str) -> subprocess.CompletedProcess[str]:
        obscured = subprocess.run(
            [program, "obscure", password_of("alice")], capture_output=True, text=True, check=True
        ).stdout.strip()
        remote = (
            f":ftp,host=127.0.0.1,port={ftps.port},user=alice,pass={obscured},"
            f"explicit_tls=true,no_check_certificate=true:{target}"
        )
        return subprocess.run(
            [program, "--config", "/dev/null", "copy", str(source), remote,
             "--transfers", "4", "--checkers", "4", "--retries", "1"],
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    return run


CLIENTS = {
    "curl -Z": with_curl,
    "lftp -P 4": with_lftp,
    "rclone of Debian": with_rclone(OLD_RCLONE),
    "rclone of today": with_rclone(RCLONE),
}


def files(directory: Path) -> Path:
    chance = random.Random(4)
    directory.mkdir()
    for number in range(FILES):
        (directory / f"{number}.bin").write_bytes(
            chance.randbytes((0, 900, 40_000, 700_000)[number % 4])
        )
    return directory


@pytest.mark.parametrize("name", CLIENTS)
def test_row_95_every_file_is_stored_on_the_default_profile(
    standing: Serve, tmp_path: Path, name: str
) -> None:
    if name == "rclone of Debian" and shutil.which(str(OLD_RCLONE)) is None:
        pytest.skip("Debian's rclone is not installed")
    ftps, target = standing(workers=2), name.replace(" ", "")
    source = files(tmp_path / "source")
    done = CLIENTS[name](ftps, source, target)
    assert not lost(ftps, source, target), done.stderr
    assert done.returncode == 0, done.stderr
