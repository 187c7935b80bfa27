"""rclone over four connections: what it copied and synchronised is there, and nothing is lost
(row 47).

rclone looks at what it stored (SIZE, MLST, listings) over any of its connections, and deletes what
it takes for damaged. ``make test-rclone`` runs the long form: 20 runs of 200 files.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.cast import password_of
from tests.fixtures.served import Serve, ServedFtps

#: PyPI's, beside this Python; Debian's is older and its connections share one TLS session.
RCLONE = Path(sys.executable).parent / "rclone"
RUNS = int(os.environ.get("RCLONE_RUNS", "1"))
FILES = int(os.environ.get("RCLONE_FILES", "40"))
LONG = pytest.mark.timeout(120 + RUNS * FILES * 4)


def rclone(ftps: ServedFtps, *arguments: str, target: str) -> subprocess.CompletedProcess[str]:
    """Run a command towards ``target``, over four connections."""
    obscured = subprocess.run(
        [RCLONE, "obscure", password_of("alice")], capture_output=True, text=True, check=True
    ).stdout.strip()
    remote = (
        f":ftp,host=127.0.0.1,port={ftps.port},user=alice,pass={obscured},"
        f"explicit_tls=true,no_check_certificate=true,concurrency=4:{target}"
    )
    four = ["--retries", "1", "--transfers", "4", "--checkers", "4"]
    return subprocess.run(
        [RCLONE, "--config", "/dev/null", *arguments, remote, *four],
        capture_output=True,
        text=True,
    )


def write_files(directory: Path, chance: random.Random) -> None:
    """Contents and sizes of their own, each time (by size rclone sees that a file changed)."""
    directory.mkdir(exist_ok=True)
    for number in range(FILES):
        path = directory / f"file {number:03}.bin"
        before = path.stat().st_size if path.exists() else (0, 999, 20_000, 200_000)[number % 4]
        path.write_bytes(chance.randbytes(before + chance.randint(1, 9)))


def lost(ftps: ServedFtps, source: Path, target: str) -> list[str]:
    """Names that are not stored as they are in ``source``."""
    there = set(ftps.keys())
    return [
        path.name
        for path in sorted(source.iterdir())
        if (key := f"acme/{target}/{path.name}") not in there
        or ftps.stored(key) != path.read_bytes()
    ]


@LONG
@pytest.mark.parametrize("inplace", [False, True], ids=["by rename", "in place"])
@pytest.mark.parametrize("storage", ["filesystem", "s3"])
def test_row_47_copy_and_sync_over_four_connections_lose_nothing(
    standing: Serve, tmp_path: Path, storage: str, inplace: bool
) -> None:
    ftps = standing("sqlite", storage)
    source, chance = tmp_path / "source", random.Random(47)
    more = ["--inplace"] if inplace else []
    for run in range(RUNS):
        target = f"rclone-{inplace}-{run}"
        # Each of files that changed; the second looks at each name, where the others list.
        for command in (["copy"], ["copy", "--no-traverse"], ["sync"]):
            write_files(source, chance)
            done = rclone(ftps, *command, str(source), *more, target=target)
            assert done.returncode == 0, done.stderr[-3000:]
            assert not lost(ftps, source, target)


@pytest.mark.parametrize("inplace", [False, True], ids=["by rename", "in place"])
def test_row_47_where_names_are_never_replaced_new_files_are_copied_whole(
    served: Serve, tmp_path: Path, inplace: bool
) -> None:
    ftps = served()
    ftps.query("UPDATE securedrop_ftp_partner SET overwrite = 'reject' WHERE name = 'acme'")
    write_files(tmp_path / "source", random.Random(47))
    more = ["--inplace"] if inplace else []
    done = rclone(ftps, "copy", str(tmp_path / "source"), *more, target="new")
    assert done.returncode == 0, done.stderr[-3000:]
    assert not lost(ftps, tmp_path / "source", "new")
