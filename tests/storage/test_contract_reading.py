"""What every backend promises of looking and reading."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from securedrop_ftp.exceptions import NotADirectory, NotFound
from securedrop_ftp.storage.protocol import RESERVED, Backend
from tests.storage.uploads import content, listing, pieces, put, put_parts, spec_for

ODD_NAMES = [
    "with space",
    " leading and trailing ",
    'double"quote',
    "single'quote",
    "naïve café.txt",
    "日本語",
    "🎉",
    "#hash?query%41&amp;=+;,@!$*()[]{}<>|^~`",
    "-dash",
    "...",
    "a:b",
    "100%",
    "plus+plus",
    "x" * 255,
]


def test_the_root_always_exists(backend: Backend) -> None:
    assert backend.stat("").is_dir
    assert listing(backend) == {}


def test_a_file_has_size_and_time(backend: Backend) -> None:
    put(backend, "acme/a.txt", b"12345")
    entry = backend.stat("acme/a.txt")
    assert (entry.key, entry.is_dir, entry.size) == ("acme/a.txt", False, 5)
    assert entry.modified is not None
    assert abs(entry.modified - datetime.now(UTC)) < timedelta(minutes=5)


def test_a_listing_has_sizes_and_times(backend: Backend) -> None:
    put(backend, "acme/a.txt", b"12345")
    entry = listing(backend, "acme")["a.txt"]
    assert (entry.key, entry.is_dir, entry.size) == ("acme/a.txt", False, 5)
    assert entry.modified is not None


def test_what_is_not_there_is_not_found(backend: Backend) -> None:
    put(backend, "acme/a.txt")
    for key in ("acme/b", "acme/a.tx", "acm", "none/none"):
        with pytest.raises(NotFound):
            backend.stat(key)
        with pytest.raises(NotFound):
            listing(backend, key)


def test_a_file_is_not_listed_as_a_directory(backend: Backend) -> None:
    put(backend, "acme/a.txt")
    with pytest.raises(NotADirectory):
        listing(backend, "acme/a.txt")


def test_directories_are_implied_by_what_is_in_them(backend: Backend) -> None:
    put(backend, "acme/in/deep/a.txt")
    assert backend.stat("acme").is_dir
    assert backend.stat("acme/in/deep").is_dir
    assert listing(backend, "acme/in")["deep"].is_dir
    assert set(listing(backend)) == {"acme"}


def test_a_listing_holds_files_and_directories_of_one_level(backend: Backend) -> None:
    put(backend, "acme/a.txt")
    put(backend, "acme/in/b.txt")
    backend.mkdir("acme/empty")
    found = listing(backend, "acme")
    assert {name: entry.is_dir for name, entry in found.items()} == {
        "a.txt": False,
        "in": True,
        "empty": True,
    }


def test_an_empty_directory_lists_nothing(backend: Backend) -> None:
    backend.mkdir("acme")
    assert listing(backend, "acme") == {}


def test_names_that_begin_alike_are_not_mixed(backend: Backend) -> None:
    put(backend, "acme/in/a")
    put(backend, "acme/in-2/b")
    put(backend, "acme/in.txt")
    assert set(listing(backend, "acme/in")) == {"a"}
    assert backend.stat("acme/in").is_dir
    assert set(listing(backend, "acme")) == {"in", "in-2", "in.txt"}


def test_our_own_directory_is_not_listed(backend: Backend) -> None:
    partial = backend.begin(spec_for("acme/big"))
    put_parts(backend, partial, pieces(backend, 1))
    assert RESERVED.rstrip("/") not in listing(backend)
    backend.abort(partial)


@pytest.mark.parametrize("name", ODD_NAMES, ids=range(len(ODD_NAMES)))
def test_an_odd_name_is_kept_as_it_is(backend: Backend, name: str) -> None:
    key = f"acme/{name}"
    put(backend, key, b"odd")
    assert set(listing(backend, "acme")) == {name}
    assert content(backend, key) == b"odd"
    backend.rename(key, f"acme/{name[:200]}2", replace=False)
    assert content(backend, f"acme/{name[:200]}2") == b"odd"
    backend.delete(f"acme/{name[:200]}2")
    backend.mkdir(key)
    put(backend, f"{key}/{name}", b"inside")
    assert content(backend, f"{key}/{name}") == b"inside"


def test_ranges_are_read_exactly(backend: Backend) -> None:
    data = bytes(range(256)) * 40
    put(backend, "acme/a", data)
    entry = backend.stat("acme/a")
    for offset, length in ((0, 1), (0, 10240), (1, 100), (10000, 240), (10000, 5000), (9, 0)):
        assert backend.read(entry, offset, length) == data[offset : offset + length]


def test_reading_at_and_behind_the_end_gives_nothing(backend: Backend) -> None:
    put(backend, "acme/a", b"12345")
    entry = backend.stat("acme/a")
    assert backend.read(entry, 5, 10) == b""
    assert backend.read(entry, 50, 10) == b""


def test_a_listed_entry_can_be_read(backend: Backend) -> None:
    put(backend, "acme/a", b"12345")
    assert backend.read(listing(backend, "acme")["a"], 1, 3) == b"234"


def test_a_read_is_pinned_to_the_object_that_was_seen(backend: Backend) -> None:
    if backend.name == "gcs":
        pytest.skip("gcp-storage-emulator ignores the generation of a download")
    put(backend, "acme/a", b"first version")
    entry = backend.stat("acme/a")
    if not entry.etag:
        pytest.skip("no etags here")
    put(backend, "acme/a", b"other version")
    with pytest.raises(NotFound):
        backend.read(entry, 0, 5)


def test_reading_what_was_deleted_is_not_found(backend: Backend) -> None:
    put(backend, "acme/a", b"12345")
    entry = backend.stat("acme/a")
    backend.delete("acme/a")
    with pytest.raises(NotFound):
        backend.read(entry, 0, 5)


def test_storage_that_is_there_passes_its_check(backend: Backend) -> None:
    backend.check()
