"""Installs the clients, each ecosystem into a directory of a cache outside the repository.

What is installed is pinned in ``pinned/``, with checksums; a kit is made anew when its pins or its
programs change. The cache is ``$CLIENTS_CACHE``, by default below ``/var/cache`` where that can be
written, else in the user's own cache.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.interop.client import PROGRAMS

PINNED: Final = Path(__file__).parent / "pinned"


Make = Callable[[Path], None]


class NotInstalled(Exception):
    """A kit cannot be had on this machine; the message says why."""


def cache() -> Path:
    """Where the kits are."""
    if named := os.environ.get("CLIENTS_CACHE"):
        return Path(named)
    if os.access("/var/cache", os.W_OK):
        return Path("/var/cache/securedrop_ftp-clients")
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return home / "securedrop_ftp-clients"


def kit(name: str) -> Path:
    """The directory of a kit, installed if it is not there as it is pinned now.

    Raises:
        NotInstalled: with the reason.
    """
    with _one_at_a_time:
        return _installed(name, *KITS[name])


_one_at_a_time = threading.Lock()


def _installed(name: str, make: Make, sources: list[Path]) -> Path:
    directory = cache() / name
    stamp, state = directory / ".installed", _digest(sources)
    if stamp.exists() and stamp.read_text() == state:
        return directory
    print(f"installing {name} …", flush=True)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    make(directory)
    stamp.write_text(state)
    return directory


def _digest(sources: list[Path]) -> str:
    digest = hashlib.sha256()
    for source in sources:
        files = sorted(source.rglob("*")) if source.is_dir() else [source]
        for path in files:
            if path.is_file() and path.suffix != ".pyc":
                digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _run(directory: Path, *command: str, **environment: str) -> None:
    if shutil.which(command[0]) is None:
        raise NotInstalled(f"no {command[0]} here")
    done = subprocess.run(
        command,
        cwd=directory,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-5:]
        raise NotInstalled(f"{' '.join(command[:3])}: {' / '.join(last)}")


def _copy(directory: Path, *sources: Path) -> None:
    for source in sources:
        if source.is_dir():
            shutil.copytree(source, directory, dirs_exist_ok=True)
        else:
            shutil.copy(source, directory)


def debian(directory: Path) -> None:
    """Programs of the distribution: ``.ci/packages clients`` names them."""


def python(directory: Path) -> None:
    _run(directory, sys.executable, "-m", "venv", ".")
    pip = [str(directory / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    pinned = str(PINNED / "python.txt")
    _run(directory, *pip, "install", "-q", "--no-deps", "--require-hashes", "-r", pinned)


def node(directory: Path) -> None:
    _copy(directory, PINNED / "package.json", PINNED / "package-lock.json")
    _run(directory, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")


def go(directory: Path) -> None:
    _copy(directory, PINNED / "go.mod", PINNED / "go.sum", PROGRAMS / "go")
    _run(directory, "go", "build", "-mod=readonly", "-o", "deliver", ".", GOFLAGS="")


def rust(directory: Path) -> None:
    _copy(directory, PINNED / "Cargo.toml", PINNED / "Cargo.lock")
    _copy(directory / "src", PROGRAMS / "rust")
    target = cache() / "rust-target"  # what it has compiled serves the next build
    _run(
        directory,
        "cargo",
        "build",
        "--quiet",
        "--release",
        "--locked",
        CARGO_TARGET_DIR=str(target),
    )
    shutil.copy(target / "release" / "deliver", directory)


def java(directory: Path) -> None:
    """``pinned/java.txt`` has a coordinate and the jar's SHA-256 on each line."""
    for line in (PINNED / "java.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        coordinate, expected = line.split()
        _run(
            directory,
            "mvn", "-q", "-B", "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy",
            f"-Dartifact={coordinate}", f"-DoutputDirectory={directory}",
        )  # fmt: skip
        _, artifact, version = coordinate.split(":")
        jar = directory / f"{artifact}-{version}.jar"
        if hashlib.sha256(jar.read_bytes()).hexdigest() != expected:
            jar.unlink()
            raise NotInstalled(f"{jar.name} has another SHA-256 than the pinned one")
    sources = [str(path) for path in sorted((PROGRAMS / "java").glob("*.java"))]
    _run(directory, "javac", "-cp", "*", "-d", ".", *sources)


KITS: Final[dict[str, tuple[Make, list[Path]]]] = {
    "debian": (debian, []),
    "python": (python, [PINNED / "python.txt"]),
    "node": (node, [PINNED / "package-lock.json"]),
    "go": (go, [PINNED / "go.sum", PROGRAMS / "go"]),
    "rust": (rust, [PINNED / "Cargo.lock", PROGRAMS / "rust"]),
    "java": (java, [PINNED / "java.txt", PROGRAMS / "java"]),
}
