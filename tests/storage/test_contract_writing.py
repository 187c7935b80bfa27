"""What every backend promises of writing."""

from __future__ import annotations

import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from securedrop_ftp.exceptions import (
    Exists,
    IsADirectory,
    NotFound,
    SecureDropError,
    VerificationFailed,
)
from securedrop_ftp.storage.parts import holds
from securedrop_ftp.storage.protocol import META_UPLOAD_ID, Backend, Part
from tests.storage.uploads import (
    commit,
    content,
    listing,
    part_size,
    pieces,
    put,
    put_parts,
    spec_for,
)

FUTURE = timedelta(hours=1)


def test_a_small_file_is_there_after_put_object(backend: Backend) -> None:
    published = put(backend, "acme/a.txt", b"hello")
    assert (published.key, published.size) == ("acme/a.txt", 5)
    assert content(backend, "acme/a.txt") == b"hello"


def test_an_empty_file_is_a_file(backend: Backend) -> None:
    put(backend, "acme/empty", b"full")
    put(backend, "acme/empty", b"")
    entry = backend.stat("acme/empty")
    assert (entry.is_dir, entry.size) == (False, 0)
    assert content(backend, "acme/empty") == b""


def test_an_object_carries_its_upload_id(backend: Backend) -> None:
    upload_id = str(uuid.uuid4())
    put(backend, "acme/a.txt", upload_id=upload_id)
    assert backend.stat("acme/a.txt").metadata.get(META_UPLOAD_ID, upload_id) == upload_id
    found = backend.find_published("acme/a.txt", upload_id)
    assert found is not None
    assert found.size == 4


def test_another_upload_is_not_found_as_published(backend: Backend) -> None:
    put(backend, "acme/a.txt")
    assert backend.find_published("acme/a.txt", str(uuid.uuid4())) is None
    assert backend.find_published("acme/none.txt", str(uuid.uuid4())) is None
    assert backend.find_published("acme/none/none.txt", str(uuid.uuid4())) is None


def test_put_object_replaces(backend: Backend) -> None:
    put(backend, "acme/a.txt", b"old")
    put(backend, "acme/a.txt", b"newer")
    assert content(backend, "acme/a.txt") == b"newer"


def test_put_object_without_replace_leaves_the_old_file(backend: Backend) -> None:
    put(backend, "acme/a.txt", b"old")
    with pytest.raises(Exists):
        put(backend, "acme/a.txt", b"new", replace=False)
    assert content(backend, "acme/a.txt") == b"old"


def test_put_object_without_replace_makes_a_new_file(backend: Backend) -> None:
    put(backend, "acme/a.txt", b"new", replace=False)
    assert content(backend, "acme/a.txt") == b"new"


def test_nothing_is_visible_before_commit(backend: Backend) -> None:
    data = pieces(backend, 2)
    partial = backend.begin(spec_for("acme/big"))
    parts = put_parts(backend, partial, data)
    with pytest.raises(NotFound):
        backend.stat("acme/big")
    assert "acme" not in listing(backend) or listing(backend, "acme") == {}
    commit(backend, partial, parts, b"".join(data))
    assert content(backend, "acme/big") == b"".join(data)


def test_the_old_file_keeps_its_bytes_until_commit(backend: Backend) -> None:
    put(backend, "acme/big", b"old")
    data = pieces(backend, 2)
    partial = backend.begin(spec_for("acme/big"))
    parts = put_parts(backend, partial, data)
    assert content(backend, "acme/big") == b"old"
    commit(backend, partial, parts, b"".join(data))
    assert backend.stat("acme/big").size == sum(map(len, data))


def test_commit_tells_what_it_published(backend: Backend) -> None:
    spec = spec_for("acme/big")
    data = pieces(backend, 3)
    partial = backend.begin(spec)
    published = commit(backend, partial, put_parts(backend, partial, data), b"".join(data))
    assert published.size == sum(map(len, data))
    assert backend.find_published("acme/big", spec.upload_id) is not None


def test_parts_may_come_out_of_order(backend: Backend) -> None:
    if backend.capabilities.serial_parts:
        pytest.skip("parts are serial here")
    data = pieces(backend, 3)
    size = part_size(backend)
    partial = backend.begin(spec_for("acme/big"))
    parts = [
        backend.put_part(partial, n, (n - 1) * size, memoryview(data[n - 1])) for n in (3, 1, 2)
    ]
    commit(backend, partial, parts, b"".join(data))
    assert content(backend, "acme/big") == b"".join(data)


def test_a_part_may_be_put_again(backend: Backend) -> None:
    data = pieces(backend, 2)
    partial = backend.begin(spec_for("acme/big"))
    backend.put_part(partial, 1, 0, memoryview(data[0]))
    parts = put_parts(backend, partial, data)
    commit(backend, partial, parts, b"".join(data))
    assert content(backend, "acme/big") == b"".join(data)


def test_a_part_may_be_a_slice_of_a_larger_buffer(backend: Backend) -> None:
    buffer = memoryview(bytearray(b"x" * 100 + b"payload" + b"y" * 100))
    partial = backend.begin(spec_for("acme/slice"))
    part = backend.put_part(partial, 1, 0, buffer[100:107])
    commit(backend, partial, [part], b"payload")
    assert content(backend, "acme/slice") == b"payload"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda parts: parts[1:],
        lambda parts: parts[:-1],
        lambda parts: [],
        lambda parts: [*parts, Part(9, parts[-1].offset + parts[-1].size, 1, parts[-1].token)],
    ],
    ids=["first missing", "last missing", "none", "one too many"],
)
def test_parts_that_do_not_add_up_publish_nothing(backend: Backend, spoil: object) -> None:
    assert callable(spoil)
    put(backend, "acme/big", b"old")
    data = pieces(backend, 2)
    partial = backend.begin(spec_for("acme/big"))
    parts = put_parts(backend, partial, data)
    with pytest.raises(VerificationFailed):
        commit(backend, partial, spoil(parts), b"".join(data))
    assert content(backend, "acme/big") == b"old"


def test_a_part_that_storage_does_not_hold_publishes_nothing(backend: Backend) -> None:
    put(backend, "acme/big", b"old")
    data = pieces(backend, 2)
    partial = backend.begin(spec_for("acme/big"))
    first = backend.put_part(partial, 1, 0, memoryview(data[0]))
    never = Part(2, len(data[0]), len(data[1]), first.token)
    with pytest.raises(SecureDropError):
        commit(backend, partial, [first, never], b"".join(data))
    assert content(backend, "acme/big") == b"old"


def test_commit_without_replace_leaves_the_old_file(backend: Backend) -> None:
    put(backend, "acme/big", b"old")
    data = pieces(backend, 2)
    partial = backend.begin(spec_for("acme/big"))
    parts = put_parts(backend, partial, data)
    with pytest.raises(Exists):
        commit(backend, partial, parts, b"".join(data), replace=False)
    assert content(backend, "acme/big") == b"old"
    backend.abort(partial)


def test_a_directory_is_not_replaced_by_a_file(backend: Backend) -> None:
    backend.mkdir("acme/in")
    put(backend, "acme/in/a")
    with suppress(IsADirectory):  # flat storages can hold both names
        put(backend, "acme/in")
    assert set(listing(backend, "acme/in")) == {"a"}


def test_an_aborted_upload_is_gone(backend: Backend) -> None:
    data = pieces(backend, 2)
    partial = backend.begin(spec_for("acme/big"))
    parts = put_parts(backend, partial, data)
    backend.abort(partial)
    with pytest.raises(SecureDropError):
        commit(backend, partial, parts, b"".join(data))
    with pytest.raises(NotFound):
        backend.stat("acme/big")
    assert not backend.list_parts(partial)


def test_aborting_again_is_no_error(backend: Backend) -> None:
    partial = backend.begin(spec_for("acme/big"))
    backend.abort(partial)
    backend.abort(partial)


def test_storage_lists_the_parts_that_it_holds(backend: Backend) -> None:
    data = pieces(backend, 3)
    partial = backend.begin(spec_for("acme/big"))
    parts = put_parts(backend, partial, data[:2])
    held = backend.list_parts(partial)
    assert held is not None
    assert holds(held, parts, backend.capabilities)
    assert sum(part.size for part in held) == sum(part.size for part in parts)
    backend.abort(partial)


def test_an_upload_is_resumed_under_a_higher_epoch(backend: Backend) -> None:
    if not backend.capabilities.resumable:
        pytest.skip("not resumable")
    data = pieces(backend, 3)
    size = part_size(backend)
    first = backend.begin(spec_for("acme/big"))
    parts = put_parts(backend, first, data[:1])
    second = backend.resume(first, 2)
    assert second.spec.epoch == 2
    parts.append(backend.put_part(second, 2, size, memoryview(data[1])))
    parts.append(backend.put_part(second, 3, 2 * size, memoryview(data[2])))
    commit(backend, second, parts, b"".join(data))
    assert content(backend, "acme/big") == b"".join(data)


def test_a_late_writer_of_an_old_epoch_does_not_mix_its_bytes_in(backend: Backend) -> None:
    if not backend.capabilities.resumable:
        pytest.skip("not resumable")
    data = pieces(backend, 2)
    whole = b"".join(data)
    old = backend.begin(spec_for("acme/big"))
    parts = put_parts(backend, old, data[:1])
    new = backend.resume(old, 2)
    parts.append(backend.put_part(new, 2, len(data[0]), memoryview(data[1])))
    try:
        backend.put_part(old, 2, len(data[0]), memoryview(b"z" * len(data[1])))
    except SecureDropError:
        pass  # refused at once: as good
    try:
        commit(backend, new, parts, whole)
    except SecureDropError:
        with pytest.raises(NotFound):
            backend.stat("acme/big")
    else:
        assert content(backend, "acme/big") == whole


def test_resuming_what_is_gone_is_not_found(backend: Backend) -> None:
    if not backend.capabilities.resumable:
        pytest.skip("not resumable")
    partial = backend.begin(spec_for("acme/big"))
    put_parts(backend, partial, pieces(backend, 1))
    backend.abort(partial)
    try:
        again = backend.resume(partial, 2)
    except NotFound:
        return
    assert not backend.list_parts(again)


def test_a_sweep_discards_what_nobody_wants(backend: Backend) -> None:
    dead, kept = spec_for("acme/dead"), spec_for("acme/kept")
    data = pieces(backend, 1)
    dead_partial, kept_partial = backend.begin(dead), backend.begin(kept)
    put_parts(backend, dead_partial, data)
    parts = put_parts(backend, kept_partial, data)
    swept = backend.sweep(
        lambda upload_id: upload_id == kept.upload_id, older_than=datetime.now(UTC) + FUTURE
    )
    assert swept == 1
    assert not backend.list_parts(dead_partial)
    commit(backend, kept_partial, parts, data[0])
    assert content(backend, "acme/kept") == data[0]


def test_a_sweep_spares_what_is_young(backend: Backend) -> None:
    data = pieces(backend, 1)
    partial = backend.begin(spec_for("acme/young"))
    parts = put_parts(backend, partial, data)
    swept = backend.sweep(lambda upload_id: False, older_than=datetime.now(UTC) - FUTURE)
    assert swept == 0
    commit(backend, partial, parts, data[0])


def test_a_sweep_touches_no_finished_file(backend: Backend) -> None:
    put(backend, "acme/a.txt", b"hello")
    data = pieces(backend, 2)
    partial = backend.begin(spec_for("acme/big"))
    commit(backend, partial, put_parts(backend, partial, data), b"".join(data))
    assert backend.sweep(lambda upload_id: False, older_than=datetime.now(UTC) + FUTURE) == 0
    assert set(listing(backend, "acme")) == {"a.txt", "big"}
