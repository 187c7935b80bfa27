"""What a connection leaves behind when it is gone."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any
from weakref import ref

from django.core.files.storage import InMemoryStorage

from securedrop_ftp.ftps.storage_fs import StorageFS
from securedrop_ftp.storage.confined import ConfinedStorage
from securedrop_ftp.storage.memory import MemoryBackend
from securedrop_ftp.tls.contexts import Certificate, build_context
from securedrop_ftp.tls.profiles import PROFILES
from tests.fixtures.certificates import Certificates


def test_a_tls_context_leaves_nothing_for_the_garbage_collector(
    certificates: Certificates,
) -> None:
    """What it leaves waits for a full collection: a flood of connections filled the memory so."""
    pair = Certificate.load(str(certificates.server), str(certificates.server_key))

    def come_and_go() -> None:
        for profile in PROFILES.values():
            build_context(pair, profile, ask_client=True)

    come_and_go()  # what is made once and kept
    gc.collect()
    gc.disable()
    try:
        come_and_go()
        assert gc.collect() == 0
    finally:
        gc.enable()


class _Session:
    """What :class:`StorageFS` knows of a session."""

    def __init__(self) -> None:
        storage = ConfinedStorage(MemoryBackend(InMemoryStorage()), "acme/")
        self.fs = StorageFS(storage, "acme/", self.storage)

    def storage(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)


def test_a_session_that_ended_is_gone_without_the_garbage_collector() -> None:
    """With it goes its TLS context, of which the collector knows nothing but a few bytes."""
    gc.disable()
    try:
        session = _Session()
        assert session.fs.stat("/").is_dir
        left = ref(session)
        del session
        assert left() is None
    finally:
        gc.enable()
