"""What the Azure backend makes of errors; its contract runs on azurite in `make test-storage`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from azure.core import exceptions as sdk
from storages.backends.azure_storage import AzureStorage

from securedrop_ftp import exceptions as errors
from securedrop_ftp.conf import Conf
from securedrop_ftp.storage.azure import AzureBackend, _block_id, _decode, _encode
from securedrop_ftp.storage.azure_errors import fault
from securedrop_ftp.storage.protocol import Entry
from tests.fixtures.processes import free_port
from tests.storage.scripted_s3 import HANG_UP, Answer, Request, ScriptedS3, scripted_s3
from tests.storage.uploads import put, spec_for

CONF = Conf(storage_timeout=1.5, operation_timeout=3.0)
MODIFIED = "Sun, 02 Aug 2026 10:00:00 GMT"


def backend_at(address: str) -> AzureBackend:
    connection = (
        f"DefaultEndpointsProtocol=http;AccountName=test;AccountKey=dGVzdA==;"
        f"BlobEndpoint={address}/test;"
    )
    return AzureBackend(AzureStorage(azure_container="c", connection_string=connection), CONF)


@pytest.fixture
def server() -> Iterator[ScriptedS3]:
    with scripted_s3() as running:
        yield running


@pytest.fixture
def azure(server: ScriptedS3) -> Iterator[AzureBackend]:
    made = backend_at(server.bucket.endpoint_url)
    yield made
    made.close()


def error(status: int, code: str) -> Answer:
    return Answer(status, headers={"x-ms-error-code": code})


def head(**headers: str) -> Answer:
    known = {"Last-Modified": MODIFIED, "ETag": '"e"', "x-ms-blob-type": "BlockBlob"}
    return Answer(headers={**known, **headers})


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "ContainerNotFound", errors.StorageRefused),
        (403, "AuthenticationFailed", errors.StorageRefused),
        (403, "Other", errors.StorageRefused),
        (503, "ServerBusy", errors.StorageUnavailable),
        (500, "InternalError", errors.StorageUnavailable),
        (507, "", errors.StorageFull),
        (418, "", errors.StorageError),
    ],
)
def test_an_error_code_becomes_our_exception(
    server: ScriptedS3, azure: AzureBackend, status: int, code: str, kind: type[Exception]
) -> None:
    server.script = lambda request: error(status, code)
    with pytest.raises(kind, match="Container “c”"):
        azure.check()


def test_throttling_is_tried_again(server: ScriptedS3, azure: AzureBackend) -> None:
    answers = iter([error(503, "ServerBusy")])
    server.script = lambda request: next(answers, head(**{"Content-Length": "5"}))
    assert azure.stat("a").size == 5
    assert len(server.requests) == 2


def test_a_closed_port_is_unavailable_storage_and_not_an_unknown_outcome() -> None:
    with pytest.raises(errors.StorageUnavailable):
        put(backend_at(f"http://127.0.0.1:{free_port()}"), "acme/a")


def test_a_put_without_an_answer_that_is_there_is_published(
    server: ScriptedS3, azure: AzureBackend
) -> None:
    found = head(**{"Content-Length": "4", "x-ms-meta-securedrop_upload_id": "u1"})
    server.script = lambda r: HANG_UP if r.method == "PUT" else found
    assert put(azure, "acme/a", b"data", upload_id="u1").size == 4


def test_a_put_without_an_answer_that_is_not_there_is_unknown(
    server: ScriptedS3, azure: AzureBackend
) -> None:
    server.script = lambda r: HANG_UP if r.method == "PUT" else error(404, "BlobNotFound")
    with pytest.raises(errors.OutcomeUnknown):
        put(azure, "acme/a")


def test_a_blocks_id_carries_upload_epoch_and_number(
    server: ScriptedS3, azure: AzureBackend
) -> None:
    server.script = lambda request: Answer(201)
    first = azure.begin(spec_for("acme/a", "u1"))
    second = azure.begin(spec_for("acme/a", "another-upload-with-a-longer-name"))
    ids = {
        azure.put_part(first, 1, 0, memoryview(b"x")).token,
        azure.put_part(first, 2, 1, memoryview(b"x")).token,
        azure.put_part(second, 1, 0, memoryview(b"x")).token,
    }
    assert len(ids) == 3
    assert {len(block_id) for block_id in ids} == {48}
    sent = [parse_qs(urlsplit(r.path).query).get("blockid") for r in server.requests]
    assert all(sent[-3:])


def test_a_read_of_a_replaced_blob_is_not_found(server: ScriptedS3, azure: AzureBackend) -> None:
    def script(request: Request) -> Answer:
        assert request.headers["If-Match"] == '"e"'
        return error(412, "ConditionNotMet")

    server.script = script
    with pytest.raises(errors.NotFound):
        azure.read(Entry("a", False, 5, None, '"e"'), 0, 5)


def test_metadata_is_named_as_azure_takes_it() -> None:
    encoded = _encode({"securedrop-account": "Zoë %", "empty": ""})
    assert list(encoded) == ["securedrop_account"]
    assert encoded["securedrop_account"].isascii()
    assert _decode(encoded) == {"securedrop-account": "Zoë %"}


def test_a_block_id_is_known_encoded_or_not() -> None:
    assert _block_id("a" * 48) == "a" * 48
    assert _block_id("YWFh" * 16) == "a" * 48


@pytest.mark.parametrize(
    ("raised", "kind", "ambiguous"),
    [
        (sdk.ServiceRequestError("refused"), errors.StorageUnavailable, False),
        (sdk.ServiceRequestError("CERTIFICATE_VERIFY_FAILED"), errors.StorageRefused, False),
        (sdk.ServiceResponseError("lost"), errors.StorageUnavailable, True),
        (sdk.IncompleteReadError("short"), errors.StorageUnavailable, True),
        (sdk.ClientAuthenticationError("no"), errors.StorageRefused, False),
        (RuntimeError("what"), errors.StorageError, True),
    ],
)
def test_an_error_of_the_client_becomes_ours(
    raised: Exception, kind: type[Exception], ambiguous: bool
) -> None:
    found = fault(raised)
    assert isinstance(found.error, kind)
    assert found.may_have_happened == ambiguous


def test_an_azure_storage_without_a_container_is_told_so() -> None:
    storage: Any = AzureStorage(connection_string="AccountName=test;AccountKey=dGVzdA==")
    with pytest.raises(errors.ConfigurationError, match="azure_container"):
        AzureBackend(storage)
