"""What the Google backend does beyond the contract."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import google_crc32c
import pytest
import requests
from google.api_core import exceptions as api
from google.auth import exceptions as auth

from securedrop_ftp import exceptions as errors
from securedrop_ftp.conf import Conf
from securedrop_ftp.storage.gcs.backend import MARKS, GCSBackend
from securedrop_ftp.storage.gcs.endpoint import GoogleCloudStorageAt
from securedrop_ftp.storage.gcs.errors import fault, of_status
from securedrop_ftp.storage.gcs.session import MULTIPLE, Session, checksum, combined
from securedrop_ftp.storage.protocol import Part, Partial
from securedrop_ftp.storage.retry import Attempts
from tests.fixtures.processes import free_port
from tests.storage.scripted_s3 import (
    HANG_UP,
    Answer,
    Request,
    Script,
    ScriptedS3,
    scripted_s3,
)
from tests.storage.servers import fresh_location
from tests.storage.uploads import commit, content, pieces, put, put_parts, spec_for

#: Long enough for a machine that is busy.
PATIENT = Conf(storage_timeout=60, operation_timeout=120)

pytestmark = pytest.mark.usefixtures("instant_retries")


def backend_at(address: str) -> GCSBackend:
    storage = GoogleCloudStorageAt(
        bucket_name="contract", custom_endpoint=address, location=fresh_location()
    )
    return GCSBackend(storage, PATIENT)


@pytest.fixture
def gcs(gcs_emulator: str) -> GCSBackend:
    return backend_at(gcs_emulator)


@pytest.fixture
def server() -> Iterator[ScriptedS3]:
    with scripted_s3() as running:
        yield running


def session_of(server: ScriptedS3) -> Session:
    return Session(requests.Session(), server.bucket.endpoint_url, (20, 20), Attempts(1))


def always(answer: Answer) -> Script:
    return lambda request: answer


def test_checksums_of_parts_combine_to_that_of_the_whole() -> None:
    parts = [os.urandom(size) for size in (MULTIPLE, 3, 0, 1_000_003, 1)]
    whole = google_crc32c.value(b"".join(parts)).to_bytes(4, "big")
    of_parts = [(checksum(memoryview(part)), len(part)) for part in parts]
    assert combined(of_parts) == b64encode(whole).decode()
    assert combined([*of_parts, ("", 5)]) == ""


def test_the_checksum_of_the_whole_goes_with_the_last_bytes(server: ScriptedS3) -> None:
    server.script = lambda request: Answer(body=b'{"size": "5"}')
    session_of(server).finish(0, memoryview(b"hello"), 5, "abcd==")
    headers = server.requests[0].headers
    assert headers["X-Goog-Hash"] == "crc32c=abcd=="
    assert headers["Content-Range"] == "bytes 0-4/5"


def test_what_a_session_holds_is_whole_multiples(server: ScriptedS3) -> None:
    for told, held in (("bytes=0-524287", 2 * MULTIPLE), ("bytes=0-0", 0), ("", 0)):
        server.script = always(Answer(308, headers={"Range": told}))
        assert session_of(server).persisted() == held


def test_an_ended_session_holds_nothing(server: ScriptedS3) -> None:
    for status in (404, 410, 499):
        server.script = always(Answer(status))
        assert session_of(server).persisted() is None


def test_a_session_that_takes_fewer_bytes_gets_the_rest_again(
    gcs: GCSBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = os.urandom(3 * MULTIPLE)
    partial = gcs.begin(spec_for("acme/big"))
    send = Session.send

    def half(session: Session, offset: int, part: memoryview) -> int:
        return send(session, offset, part[:MULTIPLE])

    monkeypatch.setattr(Session, "send", half)
    part = gcs.put_part(partial, 1, 0, memoryview(data))
    commit(gcs, partial, [part], data)
    assert content(gcs, "acme/big") == data


def test_bytes_that_another_writer_put_are_noticed(
    gcs: GCSBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial = gcs.begin(spec_for("acme/big"))
    monkeypatch.setattr(Session, "send", lambda session, offset, part: 9 * MULTIPLE)
    with pytest.raises(errors.VerificationFailed):
        gcs.put_part(partial, 1, 0, memoryview(bytes(MULTIPLE)))


def test_a_part_out_of_order_is_refused(gcs: GCSBackend) -> None:
    partial = gcs.begin(spec_for("acme/big"))
    with pytest.raises(errors.VerificationFailed):
        gcs.put_part(partial, 2, MULTIPLE, memoryview(bytes(MULTIPLE)))


def test_another_process_goes_on_where_the_session_is(gcs_emulator: str, gcs: GCSBackend) -> None:
    data = pieces(gcs, 3)
    partial = gcs.begin(spec_for("acme/big"))
    parts = put_parts(gcs, partial, data[:2])
    other = backend_at(gcs_emulator)
    other._prefix = gcs._prefix
    again = other.resume(partial, 2)
    # The client goes on one part below: those bytes are in the session already.
    parts[1] = other.put_part(again, 2, len(data[0]), memoryview(data[1]))
    parts.append(other.put_part(again, 3, 2 * len(data[0]), memoryview(data[2])))
    commit(other, again, parts, b"".join(data))
    assert content(other, "acme/big") == b"".join(data)


def test_an_upload_without_a_part_is_an_empty_file(gcs: GCSBackend) -> None:
    partial = gcs.begin(spec_for("acme/empty"))
    commit(gcs, partial, [], b"")
    assert gcs.stat("acme/empty").size == 0


def test_no_mark_stays_behind_an_upload_that_ended(gcs: GCSBackend) -> None:
    data = pieces(gcs, 2)
    partial = gcs.begin(spec_for("acme/a"))
    parts = put_parts(gcs, partial, data)
    assert len(gcs._first(MARKS[:-1], 10)) == 2
    commit(gcs, partial, parts, b"".join(data))
    gcs.abort(gcs.begin(spec_for("acme/b")))
    assert gcs._first(MARKS[:-1], 10) == []


def test_only_the_storages_own_addresses_are_sent_to() -> None:
    with pytest.raises(errors.StorageRefused):
        Session(None, "http://attacker.example/x", (20, 20), Attempts(1))


def test_finishing_without_an_answer_is_unknown(server: ScriptedS3) -> None:
    session = session_of(server)
    server.script = lambda request: HANG_UP
    with pytest.raises(errors.StorageUnavailable):
        session.finish(0, memoryview(b"x"), 1, "")
    assert session.attempts.ambiguous


def test_a_put_without_an_answer_is_unknown(server: ScriptedS3) -> None:
    def script(request: Request) -> Answer | None:
        return HANG_UP if request.method == "POST" else Answer(404, b"{}")

    server.script = script
    with pytest.raises(errors.OutcomeUnknown):
        put(backend_at(server.bucket.endpoint_url), "acme/a")


@pytest.mark.integration
def test_a_closed_port_is_unavailable_storage_and_not_an_unknown_outcome() -> None:
    with pytest.raises(errors.StorageUnavailable):
        put(backend_at(f"http://127.0.0.1:{free_port()}"), "acme/a")


def test_a_listing_that_fails_half_way_is_not_taken_for_its_end(
    gcs: GCSBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(gcs, "acme/a")
    page, failures = gcs._page, iter([requests.exceptions.ConnectionError("reset")])

    def failing(*args: Any) -> Any:
        for failure in failures:
            raise failure
        return page(*args)

    monkeypatch.setattr(gcs, "_page", failing)
    assert [entry.name for names in gcs.scandir("acme") for entry in names] == ["a"]


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (api.NotFound("no"), errors.NotFound),
        (api.Forbidden("no"), errors.StorageRefused),
        (api.Forbidden("quota exceeded"), errors.StorageFull),
        (api.Unauthorized("no"), errors.StorageRefused),
        (api.PreconditionFailed("no"), errors.Exists),
        (api.TooManyRequests("slow down"), errors.StorageUnavailable),
        (api.InternalServerError("no"), errors.StorageUnavailable),
        (auth.DefaultCredentialsError("no"), errors.StorageRefused),
        (auth.RefreshError("no", retryable=True), errors.StorageUnavailable),
        (requests.exceptions.SSLError("CERTIFICATE_VERIFY_FAILED"), errors.StorageRefused),
        (requests.exceptions.SSLError("EOF occurred"), errors.StorageUnavailable),
        (requests.exceptions.ConnectTimeout("no"), errors.StorageUnavailable),
        (requests.exceptions.ReadTimeout("no"), errors.StorageUnavailable),
        (RuntimeError("no"), errors.StorageError),
    ],
)
def test_an_error_of_the_client_becomes_ours(raised: Exception, kind: type[Exception]) -> None:
    assert isinstance(fault(raised).error, kind)


def test_only_what_may_have_been_done_is_ambiguous() -> None:
    assert [of_status(s).may_have_happened for s in (403, 404, 429, 503)] == [False] * 4
    assert of_status(500).may_have_happened
    assert fault(requests.exceptions.ReadTimeout("no")).may_have_happened
    assert fault(requests.exceptions.SSLError("EOF occurred")).may_have_happened
    assert not fault(requests.exceptions.ConnectionError("Connection refused")).may_have_happened


def test_a_wrong_token_names_no_upload(gcs: GCSBackend, gcs_emulator: str) -> None:
    partial = Partial(spec_for("acme/a"), f"{gcs_emulator}/upload/x?upload_id=none")
    assert gcs.list_parts(partial) is None
    with pytest.raises(errors.NotFound):
        gcs.resume(partial, 2)
    with pytest.raises(errors.NotFound):
        commit(gcs, partial, [Part(1, 0, 5, "00")], b"hello")
