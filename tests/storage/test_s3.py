"""What the S3 backend does beyond the contract: requests, marks, copies, settings."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ConnectionClosedError

from securedrop_ftp.conf import Conf
from securedrop_ftp.exceptions import (
    Exists,
    NotFound,
    SecureDropError,
    StorageUnavailable,
    TooManyToMove,
    UnsupportedByBackend,
    VerificationFailed,
)
from securedrop_ftp.storage import flat
from securedrop_ftp.storage.names import decode_metadata, encode_metadata
from securedrop_ftp.storage.s3.backend import S3Backend
from securedrop_ftp.storage.s3.bucket import PartBody
from securedrop_ftp.storage.s3.copy import Copier
from securedrop_ftp.storage.s3.multipart import MARKS
from securedrop_ftp.storage.s3.proof import Check
from tests.storage.servers import S3Bucket, s3_storage
from tests.storage.uploads import commit, content, listing, pieces, put, put_parts, spec_for

FUTURE = timedelta(hours=1)
MIB = 1024 * 1024


@pytest.fixture
def s3(s3_bucket: S3Bucket) -> Iterator[S3Backend]:
    made = S3Backend(s3_storage(s3_bucket))
    yield made
    made.close()


class Requests:
    """Counts what goes out, by operation."""

    def __init__(self, backend: S3Backend) -> None:
        self.counts: Counter[str] = Counter()
        self.headers: list[Any] = []
        assert backend._proof.check  # which costs a request
        for slow, signed in itertools.product((False, True), repeat=2):
            client = backend._bucket.client(slow=slow, signed=signed)
            client.meta.events.register("before-send.s3", self._count)

    def _count(self, request: Any, event_name: str, **_: Any) -> None:
        self.counts[event_name.rpartition(".")[2]] += 1
        self.headers.append(request.headers)


def test_a_small_file_is_one_request_where_damaged_bytes_are_refused(s3: S3Backend) -> None:
    seen = Requests(s3)
    s3._proof._check = Check.SIGNATURE
    put(s3, "acme/a", b"small")
    assert seen.counts == {"PutObject": 1}


def test_a_file_is_looked_at_in_one_request(s3: S3Backend) -> None:
    put(s3, "acme/a")
    seen = Requests(s3)
    s3.stat("acme/a")
    assert seen.counts == {"HeadObject": 1}


def test_a_range_is_one_request(s3: S3Backend) -> None:
    put(s3, "acme/a", b"0123456789")
    entry = s3.stat("acme/a")
    seen = Requests(s3)
    assert s3.read(entry, 3, 4) == b"3456"
    assert seen.counts == {"GetObject": 1}


def pages_of(s3: S3Backend, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Smaller pages than 1 000, so that a test needs fewer files."""
    pages = s3._bucket.pages
    monkeypatch.setattr(
        s3._bucket, "pages", lambda prefix, delimiter, _: pages(prefix, delimiter, size)
    )


def test_a_listing_is_one_request_a_page_and_none_for_an_entry(
    s3: S3Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(23):
        put(s3, f"acme/{number:02}")
    put(s3, "acme/in/a")
    put(s3, "acme/in/b")
    pages_of(s3, monkeypatch, 10)
    seen = Requests(s3)
    pages = list(s3.scandir("acme"))
    assert [len(page) for page in pages] == [10, 10, 4]
    assert len({entry.key for page in pages for entry in page}) == 24
    assert seen.counts == {"ListObjectsV2": 3}


def test_a_listing_is_taken_page_by_page(s3: S3Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        put(s3, f"acme/{number}")
    pages_of(s3, monkeypatch, 1)
    seen = Requests(s3)
    next(s3.scandir("acme"))
    assert seen.counts == {"ListObjectsV2": 1}


def test_a_rename_is_one_copy(s3: S3Backend) -> None:
    put(s3, "acme/a.part")
    seen = Requests(s3)
    s3.rename("acme/a.part", "acme/a", replace=False)
    assert (seen.counts["CopyObject"], seen.counts["DeleteObject"]) == (1, 1)
    assert seen.counts["PutObject"] == seen.counts["GetObject"] == 0


@pytest.mark.parametrize("check", Check)
def test_a_part_is_summed_once(s3: S3Backend, check: Check) -> None:
    partial = s3.begin(spec_for("acme/a"))
    seen = Requests(s3)
    s3._proof._check = check
    put_parts(s3, partial, pieces(s3, 2))
    for headers in seen.headers:
        assert not [n for n in headers if n.lower().startswith(("x-amz-checksum", "x-amz-trailer"))]
        signed = headers["X-Amz-Content-SHA256"] != b"UNSIGNED-PAYLOAD"
        assert (signed, "Content-MD5" in headers) == (
            check is Check.SIGNATURE,
            check is not Check.SIGNATURE,
        )


def test_one_client_serves_all_threads(s3: S3Backend) -> None:
    found: set[int] = set()
    threads = [
        threading.Thread(target=lambda: found.add(id(s3._bucket.client()))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1


def test_the_storages_own_client_settings_are_kept(s3_bucket: S3Bucket) -> None:
    given = Config(s3={"addressing_style": "path"}, user_agent_extra="acme", region_name="eu-1")
    made = S3Backend(
        s3_storage(s3_bucket, client_config=given), Conf(storage_timeout=9, storage_threads=3)
    )
    config = made._bucket.client().meta.config
    assert config.user_agent_extra == "acme"
    assert config.s3 == {"addressing_style": "path", "payload_signing_enabled": True}
    assert config.request_checksum_calculation == "when_required"
    assert (config.read_timeout, config.max_pool_connections) == (3, 11)
    assert config.retries["total_max_attempts"] == 1
    made.close()


def test_the_storages_object_parameters_are_kept(s3_bucket: S3Bucket) -> None:
    made = S3Backend(
        s3_storage(s3_bucket, object_parameters={"StorageClass": "STANDARD", "CacheControl": "x"})
    )
    put(made, "acme/a")
    made.rename("acme/a", "acme/b", replace=False)
    head = made._bucket.call("head_object", Key=made._bucket.full("acme/b"))
    assert head["CacheControl"] == "x"
    made.close()


def test_metadata_that_is_not_ascii_survives(s3: S3Backend) -> None:
    values = {"account": "Zoë 100%", "empty": ""}
    encoded = encode_metadata(values)
    assert encoded["account"].isascii()
    assert decode_metadata(encoded) == {"account": "Zoë 100%"}


# --- marks and sweep ---------------------------------------------------------------------


def unfinished(s3: S3Backend) -> list[str]:
    answer = s3._bucket.call("list_multipart_uploads", Prefix=s3._bucket.prefix)
    return [upload["UploadId"] for upload in answer.get("Uploads", ())]


def test_an_upload_that_was_begun_twice_leaves_none_behind(
    s3: S3Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = s3._bucket.client()
    create = client.create_multipart_upload

    begun: list[Any] = []

    def cut_once(**params: Any) -> Any:
        begun.append(create(**params))
        if len(begun) == 1:
            raise ConnectionClosedError(endpoint_url="https://storage")
        return begun[-1]

    monkeypatch.setattr(client, "create_multipart_upload", cut_once)
    partial = s3.begin(spec_for("acme/twice"))
    assert len(begun) == 2
    assert unfinished(s3) == [partial.token]
    s3.abort(partial)
    assert unfinished(s3) == []


def sweep(s3: S3Backend) -> int:
    return s3.sweep(lambda upload_id: False, older_than=datetime.now(UTC) + FUTURE)


def test_a_sweep_leaves_the_uploads_of_others(s3: S3Backend) -> None:
    partial = s3.begin(spec_for("acme/ours"))
    key = s3._bucket.full("acme/ours")
    others = s3._bucket.call("create_multipart_upload", Key=key)["UploadId"]
    assert sweep(s3) == 1
    assert unfinished(s3) == [others]
    assert partial.token != others


def test_no_mark_stays_behind_an_upload_that_ended(s3: S3Backend) -> None:
    data = pieces(s3, 1)
    published, aborted = s3.begin(spec_for("acme/a")), s3.begin(spec_for("acme/b"))
    assert len(s3._first(MARKS[:-1], 10)) == 2
    commit(s3, published, put_parts(s3, published, data), data[0])
    s3.abort(aborted)
    assert s3._first(MARKS[:-1], 10) == []


def die_before_naming(s3: S3Backend, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """What is left when the process is killed between S3's answer and the second mark."""
    mark = s3._multiparts._mark

    def die(key: str, upload_id: str, more: dict[str, Any]) -> None:
        if "multipart_id" in more:
            raise KeyboardInterrupt
        mark(key, upload_id, more)

    with monkeypatch.context() as patch:
        patch.setattr(s3._multiparts, "_mark", die)
        with pytest.raises(KeyboardInterrupt):
            s3.begin(spec_for(key))


def test_an_upload_whose_writer_died_before_naming_it_is_swept(
    s3: S3Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = s3._bucket.call("create_multipart_upload", Key=s3._bucket.full("acme/a"))["UploadId"]
    die_before_naming(s3, monkeypatch, "acme/a")
    assert len(unfinished(s3)) == 2
    assert sweep(s3) == 1
    assert unfinished(s3) == [others]
    assert s3._first(MARKS[:-1], 10) == []


def test_an_unnamed_mark_does_not_take_a_marked_upload_of_the_same_key(
    s3: S3Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    die_before_naming(s3, monkeypatch, "acme/a")
    kept = spec_for("acme/a")
    partial = s3.begin(kept)
    swept = s3.sweep(lambda u: u == kept.upload_id, older_than=datetime.now(UTC) + FUTURE)
    assert swept == 1
    assert unfinished(s3) == [partial.token]


def test_a_mark_without_an_upload_is_removed(s3: S3Backend) -> None:
    s3._multiparts._mark("acme/a", "dead-writer", {"others": []})
    assert sweep(s3) == 0
    assert s3._first(MARKS[:-1], 10) == []


# --- copies ------------------------------------------------------------------------------


@pytest.fixture
def ranged(s3: S3Backend) -> S3Backend:
    s3._copier = Copier(s3._bucket, s3._multiparts, one_request=6 * MIB, range_size=5 * MIB)
    return s3


def test_a_large_object_is_copied_in_ranges(ranged: S3Backend) -> None:
    data = pieces(ranged, 3)
    spec = spec_for("acme/big.part")
    partial = ranged.begin(spec)
    commit(ranged, partial, put_parts(ranged, partial, data), b"".join(data))
    seen = Requests(ranged)
    ranged.rename("acme/big.part", "acme/big", replace=False)
    assert seen.counts["UploadPartCopy"] in (3, 6)  # Swift needs two tries for each
    assert seen.counts["CopyObject"] == 0
    assert content(ranged, "acme/big") == b"".join(data)
    assert ranged.find_published("acme/big", spec.upload_id) is not None
    assert set(listing(ranged, "acme")) == {"big"}
    assert (unfinished(ranged), ranged._first(MARKS[:-1])) == ([], [])


def test_a_server_that_knows_its_etag_by_another_name_copies_too(
    s3: S3Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen with OpenStack Swift and multipart objects."""
    put(s3, "acme/a", b"hello")
    call = s3._bucket.call

    def unmatched(operation: str, *args: Any, **params: Any) -> dict[str, Any]:
        if "CopySourceIfMatch" in params:
            raise Exists
        return call(operation, *args, **params)

    monkeypatch.setattr(s3._bucket, "call", unmatched)
    s3.rename("acme/a", "acme/b", replace=False)
    assert content(s3, "acme/b") == b"hello"


def test_a_file_that_was_replaced_while_it_was_renamed_is_not_copied(
    s3: S3Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a server answers that heeds the condition (moto and Ceph RGW do not)."""
    put(s3, "acme/a", b"hello")
    call = s3._bucket.call

    def heeding(operation: str, *args: Any, **params: Any) -> dict[str, Any]:
        if "CopySourceIfMatch" in params:
            raise Exists
        return call(operation, *args, **params)

    monkeypatch.setattr(s3._bucket, "call", heeding)
    with pytest.raises(StorageUnavailable):
        s3._copier.copy("acme/a", "acme/b", 5, '"of another object"')
    assert set(listing(s3, "acme")) == {"a"}


def test_a_copy_in_ranges_that_fails_leaves_the_source(
    ranged: S3Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pieces(ranged, 3)
    partial = ranged.begin(spec_for("acme/big.part"))
    commit(ranged, partial, put_parts(ranged, partial, data), b"".join(data))
    fail_on(ranged, monkeypatch, "upload_part_copy", 2)
    with pytest.raises(SecureDropError):
        ranged.rename("acme/big.part", "acme/big", replace=False)
    assert set(listing(ranged, "acme")) == {"big.part"}
    assert unfinished(ranged) == []


def test_a_directory_is_renamed_with_one_copy_a_file_and_few_requests_more(s3: S3Backend) -> None:
    for name in "abcde":
        put(s3, f"acme/in/{name}")
    seen = Requests(s3)
    s3.rename("acme/in", "acme/out", replace=False)
    assert (seen.counts["CopyObject"], seen.counts["DeleteObjects"]) == (5, 1)
    assert sum(seen.counts.values()) <= 5 + 7
    assert set(listing(s3, "acme/out")) == set("abcde")


def test_a_server_without_deletion_of_many_deletes_one_by_one(
    s3: S3Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        put(s3, f"acme/in/{name}")
    call = s3._bucket.call

    def without(operation: str, *args: Any, **params: Any) -> dict[str, Any]:
        if operation == "delete_objects":
            raise UnsupportedByBackend
        return call(operation, *args, **params)

    monkeypatch.setattr(s3._bucket, "call", without)
    s3.rename("acme/in", "acme/out", replace=False)
    assert set(listing(s3, "acme")) == {"out"}


def test_a_rename_of_too_many_files_is_refused_before_the_first_copy(
    s3: S3Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flat, "MOVED_AT_MOST", 3)
    for name in "abcd":
        put(s3, f"acme/in/{name}")
    seen = Requests(s3)
    with pytest.raises(TooManyToMove):
        s3.rename("acme/in", "acme/out", replace=False)
    assert seen.counts["CopyObject"] == 0
    s3.renames_are_bounded = False
    monkeypatch.setattr(flat, "PAGE", 2)
    s3.rename("acme/in", "acme/out", replace=False)
    assert set(listing(s3, "acme/out")) == set("abcd")
    assert set(listing(s3, "acme")) == {"out"}


@pytest.mark.parametrize("copied", [False, True], ids=["not known", "known"])
@pytest.mark.parametrize("made", [0, 1, 2], ids=["no copy", "some copied", "all copied"])
def test_a_rename_of_a_directory_that_stopped_is_done_or_undone(
    s3: S3Backend, made: int, copied: bool
) -> None:
    for name in "ab":
        put(s3, f"acme/in/{name}")
    for name in "ab"[:made]:
        s3._copy(s3.stat(f"acme/in/{name}"), f"acme/out/{name}")
    if copied and made < 2:
        return  # the ledger says so after the last copy alone
    done = s3.settle_rename("acme/in", "acme/out", copied=copied, target_etag="", undo=True)
    assert done is copied
    assert set(listing(s3, "acme")) == {"out" if copied else "in"}
    assert set(listing(s3, "acme/out" if copied else "acme/in")) == {"a", "b"}


@pytest.mark.parametrize("before", [None, b"old"], ids=["a free name", "a file to be replaced"])
@pytest.mark.parametrize("landed", [False, True], ids=["not copied", "copied"])
def test_a_rename_of_a_file_that_stopped_is_judged_by_what_is_at_the_target(
    s3: S3Backend, before: bytes | None, landed: bool
) -> None:
    put(s3, "acme/a", b"new")
    etag = ""
    if before is not None:
        put(s3, "acme/b", before)
        etag = s3.stat("acme/b").etag
    if landed:
        s3._copy(s3.stat("acme/a"), "acme/b")
    done = s3.settle_rename("acme/a", "acme/b", copied=False, target_etag=etag, undo=True)
    assert done is landed
    assert set(listing(s3, "acme")) == ({"b"} if landed else {"a", *(["b"] if before else [])})
    if landed or before is not None:
        entry = s3.stat("acme/b")
        assert s3.read(entry, 0, entry.size) == (b"new" if landed else before)


def test_copies_that_are_not_what_was_copied_are_removed_again(
    s3: S3Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        put(s3, f"acme/in/{name}")
    copy = s3._copier.copy
    monkeypatch.setattr(
        s3._copier, "copy", lambda source, *rest: source[-1] == "a" or copy(source, *rest)
    )
    with pytest.raises(VerificationFailed):
        s3.rename("acme/in", "acme/out", replace=False)
    assert set(listing(s3, "acme")) == {"in"}
    assert set(listing(s3, "acme/in")) == {"a", "b"}


def test_a_directory_rename_that_fails_leaves_the_source_whole(
    s3: S3Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        put(s3, f"acme/in/{name}")
    fail_on(s3, monkeypatch, "copy_object", 2)
    with pytest.raises(SecureDropError):
        s3.rename("acme/in", "acme/out", replace=False)
    assert set(listing(s3, "acme/in")) == {"a", "b", "c"}
    with pytest.raises(NotFound):
        s3.stat("acme/out")


def fail_on(s3: S3Backend, monkeypatch: pytest.MonkeyPatch, operation: str, number: int) -> None:
    """Make the ``number``-th call of ``operation`` fail as storage fails."""
    call, seen = s3._bucket.call, Counter[str]()

    def failing(name: str, *args: Any, **params: Any) -> dict[str, Any]:
        seen[name] += 1
        if name == operation and seen[name] == number:
            raise SecureDropError("made to fail")
        return call(name, *args, **params)

    monkeypatch.setattr(s3._bucket, "call", failing)


# --- bodies ------------------------------------------------------------------------------


def test_a_part_is_sent_from_its_buffer_without_a_copy() -> None:
    buffer = bytearray(b"x" * (3 * MIB))
    body = PartBody(memoryview(buffer))
    piece = body.read(16384)
    buffer[0] = 0x79
    assert (len(body), len(piece), piece[0]) == (3 * MIB, MIB, 0x79)


def test_a_part_can_be_sent_again_from_its_start() -> None:
    body = PartBody(memoryview(b"0123456789")[2:6])
    assert bytes(body.read(-1)) == b"2345"
    assert bytes(body.read(10)) == b""
    assert (body.seek(0, 2), body.seek(0), body.tell()) == (4, 0, 0)
    assert bytes(body.read(10)) == b"2345"
