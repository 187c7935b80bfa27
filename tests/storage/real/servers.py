"""Real storage servers on loopback, installed where they are missing, started and stopped.

Each is a context manager that gives the text of ``TEST_SERVER``: how tests reach it.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config

from securedrop_ftp.project.demo.children import Child
from tests.fixtures.processes import accepts, free_port, scratch_directory, wait_until
from tests.storage.servers import S3Bucket

HERE: Final = Path(__file__).parent
#: What is installed for tests alone; goes with the virtual environment.
INSTALLED: Final = Path(sys.prefix) / "test-servers"
AZURITE: Final = "3.35.0"
BUCKET: Final = "contract"


class NotInstalled(Exception):
    """What is missing, and how to get it."""


@dataclass(frozen=True)
class Server:
    """A row of the table: what it is, and how to have it run."""

    about: str
    running: Callable[[], AbstractContextManager[str]]


def needs(packages: dict[str, str]) -> None:
    """Debian packages by the command that shows whether they are there."""
    missing = sorted({package for command, package in packages.items() if not _found(command)})
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise NotInstalled(f"sudo apt-get install {' '.join(missing)}")
    print(f"Installing {' '.join(missing)} ...", flush=True)
    with _no_services():
        quiet = {"stdout": subprocess.DEVNULL, "check": True}
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], env=env, **quiet)  # type: ignore[call-overload]
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
        subprocess.run(command, env=env, **quiet)  # type: ignore[call-overload]


def _found(command: str) -> bool:
    return shutil.which(command) is not None or Path("/usr/sbin", command).exists()


@contextmanager
def _no_services() -> Iterator[None]:
    """Debian's packages start their services; ours run on ports of their own."""
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()


def four_ports() -> int:
    """The first of four free ports that follow each other."""
    while True:
        first = free_port()
        if not any(accepts(first + n) for n in range(4)):
            return first


@contextmanager
def script(name: str, path: str = "") -> Iterator[tuple[str, Path]]:
    """``<name>.sh up`` … ``down``; gives (address, certificate)."""
    env = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}" if path else os.environ["PATH"]}
    with scratch_directory(name) as directory:
        home = directory / "server"
        run = [str(HERE / f"{name}.sh")]
        up = subprocess.run(
            [*run, "up", str(home), str(four_ports())],
            env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
            timeout=300,
        )  # fmt: skip
        try:
            if up.returncode != 0:
                raise RuntimeError(f"{name} did not start:\n{up.stdout[-2000:]}")
            yield up.stdout.split()[-1], home / "cert.pem"
        finally:
            subprocess.run([*run, "down", str(home)], env=env, check=False, timeout=60)


def _s3(address: str, ca: Path, access_key: str, secret_key: str) -> str:
    bucket = S3Bucket(BUCKET, address, str(ca), access_key, secret_key)
    client: Any = boto3.client(
        "s3",
        endpoint_url=address,
        verify=str(ca),
        region_name=bucket.region,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(s3={"addressing_style": "path"}),
    )
    client.create_bucket(Bucket=BUCKET)
    return json.dumps(asdict(bucket))


@contextmanager
def ceph() -> Iterator[str]:
    """Ceph RGW from Debian's packages, over TLS."""
    needs(
        {
            "ceph-mon": "ceph-mon", "ceph-osd": "ceph-osd", "radosgw": "radosgw",
            "ceph": "ceph-common", "curl": "curl", "openssl": "openssl",
        }
    )  # fmt: skip
    with script("ceph") as (address, ca):
        yield _s3(address, ca, "AKTEST", "SKTEST")


@contextmanager
def swift() -> Iterator[str]:
    """OpenStack Swift's S3 interface over TLS, in a virtual environment of its own."""
    needs({"curl": "curl", "openssl": "openssl"})
    home = INSTALLED / "swift"
    if not (home / "bin/swift-proxy-server").exists():
        print("Installing OpenStack Swift ...", flush=True)
        _run([sys.executable, "-m", "venv", "--clear", str(home)])
        requirements = str(HERE / "swift-requirements.txt")
        pip = [str(home / "bin/python"), "-m", "pip", "--disable-pip-version-check", "install"]
        _run([*pip, "--quiet", "--require-hashes", "--no-deps", "-r", requirements])
    with script("swift", str(home / "bin")) as (address, ca):
        yield _s3(address, ca, "test:tester", "testing")


@contextmanager
def azurite() -> Iterator[str]:
    """Azurite from npm."""
    needs({"npm": "npm"})
    home = INSTALLED / f"azurite-{AZURITE}"
    program = home / "node_modules/.bin/azurite-blob"
    if not program.exists():
        print("Installing azurite ...", flush=True)
        home.mkdir(parents=True, exist_ok=True)
        npm = ["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(home)]
        _run([*npm, f"azurite@{AZURITE}"])
    port = free_port()
    key = base64.b64encode(secrets.token_bytes(64)).decode()
    with scratch_directory("azurite") as directory:
        child = Child(
            "azurite",
            [
                str(program), "--inMemoryPersistence", "--blobHost", "127.0.0.1",
                "--blobPort", str(port), "--skipApiVersionCheck", "--disableTelemetry",
            ],
            env={**os.environ, "AZURITE_ACCOUNTS": f"test:{key}"},
            output=directory,
            cwd=directory,
        )  # fmt: skip
        try:
            wait_until(lambda: accepts(port), "azurite", child)
            address = (
                f"DefaultEndpointsProtocol=http;AccountName=test;AccountKey={key};"
                f"BlobEndpoint=http://127.0.0.1:{port}/test;"
            )
            from azure.storage.blob import BlobServiceClient

            BlobServiceClient.from_connection_string(address).create_container(BUCKET)
            yield address
        finally:
            child.stop(10)


@contextmanager
def by_fixture() -> Iterator[str]:
    """The tests' own fixtures start it."""
    yield ""


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    if done.returncode != 0:
        raise NotInstalled(f"{' '.join(command[:4])} … failed: {done.stderr[-500:]}")


SERVERS: Final[dict[str, Server]] = {
    "memory": Server("memory", by_fixture),
    "filesystem": Server("filesystem", by_fixture),
    "generic-memory": Server("generic over Django's InMemoryStorage", by_fixture),
    "generic-files": Server("generic over Django's FileSystemStorage", by_fixture),
    "moto": Server("s3: moto, TLS", by_fixture),
    "ceph": Server("s3: Ceph RGW, TLS", ceph),
    "swift": Server("s3: OpenStack Swift s3api, TLS", swift),
    "gcs": Server("gcs: gcp-storage-emulator", by_fixture),
    "azurite": Server(f"azure: azurite {AZURITE}", azurite),
}
