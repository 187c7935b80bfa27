"""What true answers cost: a listing of 10 000 files, then SIZE of each, on files and on S3 (moto).

``python -m tests.bench.sizes [FILES] [--root OTHER-CHECKOUT]`` starts the service with one worker
and prints seconds and the requests that S3 had. The last step asks SIZE, MDTM and MLST of one name
after the other, as clients that synchronise do, of a tenth of the files.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from securedrop_ftp.tls.development import make_certificates
from tests import clients
from tests.bench.service import start_service
from tests.clients import FtpsClient
from tests.fixtures.cast import password_of
from tests.fixtures.certificates import Certificates
from tests.fixtures.moto import running
from tests.fixtures.processes import ROOT
from tests.fixtures.stores import BucketStore, DirectoryStore, Store


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="?", type=int, default=10_000)
    parser.add_argument("--root", type=Path, default=ROOT)
    options = parser.parse_args()
    for kind in ("files", "S3"):
        with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
            directory = Path(name)
            store = store_of(kind, directory, stack)
            os.environ.update(store.environment)
            service, child = start_service(
                directory, workers=1, root=options.root, STORAGE_URL=store.url
            )
            stack.callback(child.stop, 20)
            with ThreadPoolExecutor(8) as pool:
                keys = [f"acme/file-{number:05}.dat" for number in range(options.files)]
                list(pool.map(lambda key, store=store: store.put(key, b"x" * 100), keys))
            with clients.logged_in(
                service.port, service.ca, "alice", password_of("alice")
            ) as client:
                measure(kind, store, client, options.files)


def store_of(kind: str, directory: Path, stack: ExitStack) -> Store:
    """An empty store."""
    if kind == "files":
        return DirectoryStore(directory / "storage")
    certificates = Certificates(directory / "storage-certs")
    make_certificates(certificates.directory)
    moto = stack.enter_context(running(certificates))
    return BucketStore(moto, moto.bucket())


def measure(kind: str, store: Store, client: FtpsClient, files: int) -> None:
    """Print a line for each step."""
    client.voidcmd("TYPE I")
    names = client.names()
    assert len(names) == files

    def ask(count: int, *verbs: str) -> None:
        for name in names[:count]:
            for verb in verbs:
                client.voidcmd(f"{verb} {name}")

    steps: list[tuple[str, Callable[[], object]]] = [
        ("a listing", client.names),
        ("SIZE of each", lambda: ask(files, "SIZE")),
        ("SIZE, MDTM, MLST of a tenth", lambda: ask(files // 10, "SIZE", "MDTM", "MLST")),
    ]
    for step, run in steps:
        asked = requests(store)
        began = time.monotonic()
        run()
        seconds = time.monotonic() - began
        print(f"{kind:6} {step:28} {seconds:7.2f} s {requests(store) - asked:7d} requests")


def requests(store: Store) -> int:
    """That S3 had so far."""
    return len(store.server.requests(store.bucket)) if isinstance(store, BucketStore) else 0


if __name__ == "__main__":
    main()
