"""What every backend promises of deleting, renaming and directories."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from securedrop_ftp.exceptions import (
    BadName,
    Exists,
    IsADirectory,
    NotADirectory,
    NotEmpty,
    NotFound,
    SecureDropError,
)
from securedrop_ftp.storage.protocol import META_UPLOAD_ID, Backend
from tests.storage.uploads import commit, content, listing, pieces, put, put_parts, spec_for


def test_a_deleted_file_is_gone(backend: Backend) -> None:
    put(backend, "acme/a")
    put(backend, "acme/b")
    backend.delete("acme/a")
    assert set(listing(backend, "acme")) == {"b"}


def test_deleting_nothing_is_not_found(backend: Backend) -> None:
    put(backend, "acme/ab")
    with pytest.raises(NotFound):
        backend.delete("acme/a")
    with pytest.raises(NotFound):
        backend.delete("none/a")


def test_a_directory_is_not_deleted_as_a_file(backend: Backend) -> None:
    put(backend, "acme/in/a")
    with pytest.raises(IsADirectory):
        backend.delete("acme/in")
    assert content(backend, "acme/in/a") == b"data"


def test_a_renamed_file_has_its_bytes_and_metadata(backend: Backend) -> None:
    put(backend, "acme/a.part", b"hello", upload_id="11111111-aaaa")
    before = backend.stat("acme/a.part").metadata
    backend.rename("acme/a.part", "acme/a", replace=False)
    assert set(listing(backend, "acme")) == {"a"}
    assert content(backend, "acme/a") == b"hello"
    assert backend.stat("acme/a").metadata.get(META_UPLOAD_ID) == before.get(META_UPLOAD_ID)


def test_a_file_moves_to_another_directory(backend: Backend) -> None:
    put(backend, "acme/a", b"hello")
    backend.mkdir("acme/done")
    backend.rename("acme/a", "acme/done/b", replace=False)
    assert content(backend, "acme/done/b") == b"hello"
    with pytest.raises(NotFound):
        backend.stat("acme/a")


def test_a_file_of_several_parts_is_renamed(backend: Backend) -> None:
    data = pieces(backend, 2)
    partial = backend.begin(spec_for("acme/big.tmp"))
    commit(backend, partial, put_parts(backend, partial, data), b"".join(data))
    backend.rename("acme/big.tmp", "acme/big", replace=False)
    assert content(backend, "acme/big") == b"".join(data)


def test_rename_refuses_a_taken_name(backend: Backend) -> None:
    put(backend, "acme/a", b"one")
    put(backend, "acme/b", b"two")
    with pytest.raises(Exists):
        backend.rename("acme/a", "acme/b", replace=False)
    assert (content(backend, "acme/a"), content(backend, "acme/b")) == (b"one", b"two")


def test_rename_replaces_where_it_may(backend: Backend) -> None:
    put(backend, "acme/a", b"one")
    put(backend, "acme/b", b"two")
    backend.rename("acme/a", "acme/b", replace=True)
    assert content(backend, "acme/b") == b"one"
    assert set(listing(backend, "acme")) == {"b"}


def test_renaming_nothing_is_not_found(backend: Backend) -> None:
    put(backend, "acme/b", b"two")
    with pytest.raises(NotFound):
        backend.rename("acme/a", "acme/b", replace=True)
    assert content(backend, "acme/b") == b"two"


def test_renaming_to_itself_changes_nothing(backend: Backend) -> None:
    put(backend, "acme/a", b"one")
    backend.rename("acme/a", "acme/a", replace=False)
    assert content(backend, "acme/a") == b"one"


def test_a_file_does_not_replace_a_directory(backend: Backend) -> None:
    put(backend, "acme/a", b"one")
    put(backend, "acme/in/b", b"two")
    with pytest.raises(IsADirectory):
        backend.rename("acme/a", "acme/in", replace=True)
    assert content(backend, "acme/a") == b"one"
    assert content(backend, "acme/in/b") == b"two"


def test_a_directory_is_renamed_with_all_in_it(backend: Backend) -> None:
    put(backend, "acme/in/a", b"one")
    put(backend, "acme/in/deep/b", b"two")
    backend.mkdir("acme/in/empty")
    put(backend, "acme/in-2", b"other")
    backend.rename("acme/in", "acme/out", replace=False)
    assert set(listing(backend, "acme")) == {"out", "in-2"}
    assert set(listing(backend, "acme/out")) == {"a", "deep", "empty"}
    assert content(backend, "acme/out/deep/b") == b"two"


def test_an_empty_directory_is_renamed(backend: Backend) -> None:
    backend.mkdir("acme/in")
    backend.rename("acme/in", "acme/out", replace=False)
    assert set(listing(backend, "acme")) == {"out"}


@pytest.mark.parametrize("replace", [False, True])
def test_a_directory_replaces_nothing(backend: Backend, replace: bool) -> None:
    put(backend, "acme/in/a", b"one")
    put(backend, "acme/out/b", b"two")
    put(backend, "acme/file", b"three")
    for target in ("acme/out", "acme/file"):
        with pytest.raises(Exists):
            backend.rename("acme/in", target, replace=replace)
    assert content(backend, "acme/in/a") == b"one"
    assert set(listing(backend, "acme/out")) == {"b"}


def test_a_directory_does_not_move_into_itself(backend: Backend) -> None:
    put(backend, "acme/in/a", b"one")
    with pytest.raises(BadName):
        backend.rename("acme/in", "acme/in/deep", replace=False)
    assert content(backend, "acme/in/a") == b"one"


def test_a_made_directory_is_there(backend: Backend) -> None:
    backend.mkdir("acme/in")
    assert backend.stat("acme/in").is_dir
    assert listing(backend, "acme")["in"].is_dir
    assert listing(backend, "acme/in") == {}


def test_mkdir_refuses_a_taken_name(backend: Backend) -> None:
    backend.mkdir("acme/in")
    put(backend, "acme/a")
    put(backend, "acme/implied/b")
    for key in ("acme/in", "acme/a", "acme/implied"):
        with pytest.raises(Exists):
            backend.mkdir(key)
    assert content(backend, "acme/a") == b"data"


def test_an_empty_directory_is_removed(backend: Backend) -> None:
    backend.mkdir("acme/in")
    backend.rmdir("acme/in")
    with pytest.raises(NotFound):
        backend.stat("acme/in")


def test_a_directory_that_holds_something_stays(backend: Backend) -> None:
    backend.mkdir("acme/in")
    put(backend, "acme/in/a")
    put(backend, "acme/implied/b")
    backend.mkdir("acme/outer/inner")
    for key in ("acme/in", "acme/implied", "acme/outer"):
        with pytest.raises(NotEmpty):
            backend.rmdir(key)
    assert content(backend, "acme/in/a") == b"data"


def test_rmdir_of_nothing_is_not_found(backend: Backend) -> None:
    with pytest.raises(NotFound):
        backend.rmdir("acme/none")


def test_a_file_is_not_removed_as_a_directory(backend: Backend) -> None:
    put(backend, "acme/a")
    with pytest.raises(NotADirectory):
        backend.rmdir("acme/a")
    assert content(backend, "acme/a") == b"data"


def test_a_made_directory_outlives_its_last_file(backend: Backend) -> None:
    backend.mkdir("acme/in")
    put(backend, "acme/in/a")
    backend.delete("acme/in/a")
    assert listing(backend, "acme/in") == {}


def test_the_root_stays(backend: Backend) -> None:
    put(backend, "a")
    changes: list[Callable[[], None]] = [
        lambda: backend.rmdir(""),
        lambda: backend.rename("", "b", replace=True),
        lambda: backend.rename("a", "", replace=True),
        lambda: backend.delete(""),
        lambda: backend.mkdir(""),
    ]
    for change in changes:
        with pytest.raises(SecureDropError):
            change()
    assert content(backend, "a") == b"data"
