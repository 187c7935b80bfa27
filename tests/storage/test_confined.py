"""Nobody leaves their prefix, whatever they name (invariant 4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from securedrop_ftp.exceptions import (
    BadName,
    Exists,
    IsADirectory,
    OutsidePrefix,
    SecureDropError,
    StorageRefused,
)
from securedrop_ftp.storage.confined import ConfinedStorage
from securedrop_ftp.storage.memory import MemoryBackend
from securedrop_ftp.storage.protocol import Backend, CopiesParts, Entry, ObjectSpec, Part, Partial
from tests.storage.uploads import content, listing, pieces, put, put_parts, spec_for

ROOT = "acme/"
NEIGHBOURS = ("acme-2/a", "acm/a", "acme2", "other/acme/a", ".securedrop/multipart/u")


class Recorder(MemoryBackend):
    """Keeps every key that it is asked about."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[str] = []

    def copy_parts(self, partial: Partial, entry: Entry, parts: Sequence[Part]) -> list[Part]:
        return list(parts)

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith("_") or not callable(found):
            return found

        def recorded(*args: Any, **kwargs: Any) -> Any:
            self.keys.extend(key for arg in args if (key := key_of(arg)) is not None)
            return found(*args, **kwargs)

        return recorded


def copy_parts(storage: Backend, source: str, target: str) -> list[Part]:
    assert isinstance(storage, CopiesParts)
    return storage.copy_parts(Partial(spec_for(target), "t"), Entry(source, False, 1), [])


def key_of(value: object) -> str | None:
    match value:
        case str():
            return value
        case ObjectSpec() | Entry():
            return value.key
        case Partial():
            return value.spec.key
    return None


ACTS: dict[str, Callable[[Backend, str, str], object]] = {
    "begin": lambda s, key, other: s.begin(spec_for(key)),
    "put_part": lambda s, key, other: s.put_part(
        Partial(spec_for(key), "t"), 1, 0, memoryview(b"x")
    ),
    "copy_parts": lambda s, key, other: copy_parts(s, key, other or "acme/b"),
    "resume": lambda s, key, other: s.resume(Partial(spec_for(key), "t"), 2),
    "commit": lambda s, key, other: s.commit(
        Partial(spec_for(key), "t"), [], size=0, sha256="", replace=True
    ),
    "put_object": lambda s, key, other: put(s, key),
    "abort": lambda s, key, other: s.abort(Partial(spec_for(key), "t")),
    "find_published": lambda s, key, other: s.find_published(key, "u"),
    "list_parts": lambda s, key, other: s.list_parts(Partial(spec_for(key), "t")),
    "stat": lambda s, key, other: s.stat(key),
    "scandir": lambda s, key, other: list(s.scandir(key)),
    "read": lambda s, key, other: s.read(Entry(key, False, 1), 0, 1),
    "delete": lambda s, key, other: s.delete(key),
    "rename": lambda s, key, other: s.rename(key, other, replace=True),
    "mkdir": lambda s, key, other: s.mkdir(key),
    "rmdir": lambda s, key, other: s.rmdir(key),
}

PIECES = st.sampled_from(
    ["acme", "acme-2", "..", ".", "", "a", "in", "\\", "\\..\\", "\0", "\r\n", "acm", ".securedrop",
     "％2e%2e", "multipart", "u", "\u2028", "é", " "]
)  # fmt: skip
KEYS = st.one_of(
    st.text(max_size=30),
    st.lists(PIECES, max_size=6).map("/".join),
    st.lists(PIECES, max_size=5).map(lambda names: ROOT + "/".join(names)),
    st.sampled_from(NEIGHBOURS),
)


@given(act=st.sampled_from(sorted(ACTS)), key=KEYS, other=KEYS)
@example(act="rename", key="acme/a", other="acme-2/a")
@example(act="copy_parts", key="acme-2/a", other="acme/a")
@example(act="copy_parts", key="acme/a", other="acme-2/a")
@example(act="delete", key="acme/../acme-2/a", other="")
@example(act="put_object", key="acme", other="")
@example(act="stat", key="acme/..\\acme-2\\a", other="")
def test_no_act_with_any_name_leaves_the_prefix(act: str, key: str, other: str) -> None:
    backend = Recorder()
    for neighbour in NEIGHBOURS:
        put(backend, neighbour, b"theirs")
    put(backend, "acme/a", b"ours")
    backend.keys.clear()
    with suppress(SecureDropError):
        ACTS[act](ConfinedStorage(backend, ROOT), key, other)
    assert [k for k in backend.keys if not k.startswith(ROOT) and k not in ("acme", "u")] == []
    for neighbour in NEIGHBOURS:
        assert content(backend, neighbour) == b"theirs"


@pytest.mark.parametrize("act", [name for name in ACTS if name not in ("stat", "scandir")])
def test_the_prefix_itself_is_not_changed(act: str) -> None:
    backend = MemoryBackend()
    put(backend, "acme/in/a")
    with pytest.raises((OutsidePrefix, IsADirectory, Exists)):
        ACTS[act](ConfinedStorage(backend, ROOT), "acme", "acme/b")


def test_what_comes_out_of_storage_is_checked_too() -> None:
    class Broken(MemoryBackend):
        def stat(self, key: str) -> Entry:
            return Entry("acme-2/a", False)

        def scandir(self, key: str) -> Any:
            yield [Entry("acme-2/a", False)]

    storage = ConfinedStorage(Broken(), ROOT)
    with pytest.raises(OutsidePrefix):
        storage.stat("acme/a")
    with pytest.raises(OutsidePrefix):
        list(storage.scandir("acme"))


def test_an_entry_of_another_directory_is_not_listed() -> None:
    class Broken(MemoryBackend):
        def scandir(self, key: str) -> Any:
            yield [Entry("acme/deep/er", False)]

    with pytest.raises(OutsidePrefix):
        list(ConfinedStorage(Broken(), ROOT).scandir("acme"))


def test_a_name_that_no_verb_could_address_is_left_out(backend: Backend) -> None:
    storage = ConfinedStorage(MemoryBackend(), ROOT)
    put(storage._backend, "acme/good")
    put(storage._backend, "acme/back\\slash")
    assert set(listing(storage, "acme")) == {"good"}


def test_a_partner_who_has_stored_nothing_has_an_empty_root(backend: Backend) -> None:
    storage = ConfinedStorage(backend, ROOT)
    assert storage.stat("acme").is_dir
    assert listing(storage, "acme") == {}


def test_a_partner_works_inside_the_prefix(backend: Backend) -> None:
    storage = ConfinedStorage(backend, ROOT)
    put(storage, "acme/a", b"small")
    data = pieces(backend, 1)
    partial = storage.begin(spec_for("acme/big"))
    parts = put_parts(storage, partial, data)
    storage.commit(partial, parts, size=len(data[0]), sha256="", replace=False)
    storage.mkdir("acme/in")
    storage.rename("acme/a", "acme/in/a", replace=False)
    assert set(listing(storage, "acme")) == {"big", "in"}
    assert content(storage, "acme/in/a") == b"small"
    storage.delete("acme/in/a")
    storage.rmdir("acme/in")


def test_a_sweep_is_not_for_one_partner() -> None:
    with pytest.raises(StorageRefused):
        ConfinedStorage(MemoryBackend(), ROOT).sweep(
            lambda upload_id: False, older_than=datetime.now(UTC)
        )


@pytest.mark.parametrize("root", ["", "/", "acme", "/acme/", "a/../b/", ".securedrop/", "a//b/"])
def test_a_root_that_is_no_prefix_is_refused(root: str) -> None:
    with pytest.raises(BadName):
        ConfinedStorage(MemoryBackend(), root)
