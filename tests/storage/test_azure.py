"""What the Azure backend makes of errors; its contract runs on azurite in `make test-storage`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from azure.core import exceptions as sdk
from storages.backends.azure_storage import AzureStorage

from securedrop_ftp import exceptions as errors
from securedrop_ftp.conf import Conf
from securedrop_ftp.storage.azure.backend import AzureBackend, _block_id, _decoded, _encoded
from securedrop_ftp.storage.azure.errors import fault
from securedrop_ftp.storage.protocol import Entry
from tests.fixtures.processes import free_port
from tests.storage.scripted_s3 import HANG_UP, Answer, Request, ScriptedS3, scripted_s3
from tests.storage.uploads import commit, content, listing, put, put_parts, spec_for

#: Long enough for a machine that is busy.
PATIENT = Conf(storage_timeout=60, operation_timeout=120)

pytestmark = pytest.mark.usefixtures("instant_retries")
MODIFIED = "Sun, 02 Aug 2026 10:00:00 GMT"


def backend_at(address: str) -> AzureBackend:
    connection = (
        f"DefaultEndpointsProtocol=http;AccountName=test;AccountKey=dGVzdA==;"
        f"BlobEndpoint={address}/test;"
    )
    return AzureBackend(AzureStorage(azure_container="c", connection_string=connection), PATIENT)


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


@pytest.mark.integration
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


@pytest.mark.parametrize("times", [1, 2])
def test_a_block_that_was_damaged_on_the_way_is_sent_once_more(
    server: ScriptedS3, azure: AzureBackend, times: int
) -> None:
    server.script = lambda request: Answer(201)
    partial = azure.begin(spec_for("acme/a", "u1"))
    refusals = iter([error(400, "Md5Mismatch")] * times)
    server.requests.clear()
    server.script = lambda request: next(refusals, Answer(201))
    if times == 1:
        azure.put_part(partial, 1, 0, memoryview(b"x"))
    else:
        with pytest.raises(errors.VerificationFailed):
            azure.put_part(partial, 1, 0, memoryview(b"x"))
    assert [r.headers["Content-MD5"] for r in server.requests] == ["ndTkYSaMgDT1yFZOFVxnpg=="] * 2


def test_a_read_of_a_replaced_blob_is_not_found(server: ScriptedS3, azure: AzureBackend) -> None:
    def script(request: Request) -> Answer:
        assert request.headers["If-Match"] == '"e"'
        return error(412, "ConditionNotMet")

    server.script = script
    with pytest.raises(errors.NotFound):
        azure.read(Entry("a", False, 5, None, '"e"'), 0, 5)


def test_metadata_is_named_as_azure_takes_it() -> None:
    encoded = _encoded({"securedrop-account": "Zoë %", "empty": ""})
    assert list(encoded) == ["securedrop_account"]
    assert encoded["securedrop_account"].isascii()
    assert _decoded(encoded) == {"securedrop-account": "Zoë %"}


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


# --- an upload of several parts, against answers as Azure's reference gives them ------------


class BlobServer:
    """As much of Azure's Blob service as an upload, a listing and a rename need."""

    def __init__(self) -> None:
        self.blobs: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.blocks: dict[str, dict[str, bytes]] = {}

    def answer(self, request: Request) -> Answer:
        url = urlsplit(request.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        name = unquote(url.path).removeprefix("/test/c").lstrip("/")
        what = query.get("comp", "")
        if request.method == "GET" and what == "list":
            return self.listing(query)
        if request.method == "GET" and what == "blocklist":
            return self.block_list(name)
        if request.method == "PUT":
            return self.put(name, what, query, request)
        if name not in self.blobs:
            return error(404, "BlobNotFound")
        if request.method == "DELETE":
            del self.blobs[name]
            return Answer(202)
        return self.get(name, request)

    def put(self, name: str, what: str, query: dict[str, str], request: Request) -> Answer:
        if what == "block":
            self.blocks.setdefault(name, {})[query["blockid"]] = request.body
        elif what == "blocklist":
            ids = re.findall("<Latest>(.*?)</Latest>", request.body.decode())
            held = self.blocks.pop(name, {})
            self.keep(name, b"".join(held[one] for one in ids), request)
        elif source := request.headers.get("x-ms-copy-source"):
            found = unquote(urlsplit(source).path).removeprefix("/test/c/")
            self.blobs[name] = self.blobs[found]
            return Answer(202, headers={"x-ms-copy-status": "success", "x-ms-copy-id": "1"})
        else:
            self.keep(name, request.body, request)
        return Answer(201, headers={"ETag": '"new"', "Last-Modified": MODIFIED})

    def keep(self, name: str, content: bytes, request: Request) -> None:
        metadata = {n: v for n, v in request.headers.items() if n.startswith("x-ms-meta-")}
        self.blobs[name] = (content, metadata)

    def get(self, name: str, request: Request) -> Answer:
        content, metadata = self.blobs[name]
        headers = {**metadata, "x-ms-copy-status": "success", "x-ms-copy-id": "1"}
        if request.method == "HEAD":
            return head(**{**headers, "Content-Length": str(len(content))})
        start, stop = map(int, request.headers["x-ms-range"].removeprefix("bytes=").split("-"))
        span = f"bytes {start}-{stop}/{len(content)}"
        found = head(**headers, **{"Content-Range": span})
        return Answer(206, content[start : stop + 1], found.headers)

    def block_list(self, name: str) -> Answer:
        blocks = "".join(
            f"<Block><Name>{n}</Name><Size>{len(b)}</Size></Block>"
            for n, b in self.blocks.get(name, {}).items()
        )
        xml = f"<BlockList><UncommittedBlocks>{blocks}</UncommittedBlocks></BlockList>"
        return Answer(200, xml.encode(), {"Content-Type": "application/xml"})

    def listing(self, query: dict[str, str]) -> Answer:
        """Pages of one name, to see that all are read."""
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        names = sorted({
            prefix + rest[: rest.index("/") + 1] if delimiter and "/" in rest else prefix + rest
            for rest in (n.removeprefix(prefix) for n in self.blobs if n.startswith(prefix))
        })  # fmt: skip
        at = int(query.get("marker", "0"))
        items = "".join(
            f"<BlobPrefix><Name>{n}</Name></BlobPrefix>"
            if n.endswith("/")
            else f"<Blob><Name>{n}</Name><Properties><Last-Modified>{MODIFIED}</Last-Modified>"
            f"<Etag>e</Etag><Content-Length>{len(self.blobs[n][0])}</Content-Length>"
            "<BlobType>BlockBlob</BlobType></Properties></Blob>"
            for n in names[at : at + 1]
        )
        more = str(at + 1) if at + 1 < len(names) else ""
        xml = (
            f'<EnumerationResults ServiceEndpoint="x" ContainerName="c"><Blobs>{items}</Blobs>'
            f"<NextMarker>{more}</NextMarker></EnumerationResults>"
        )
        return Answer(200, xml.encode(), {"Content-Type": "application/xml"})


@pytest.fixture
def blobs(server: ScriptedS3) -> BlobServer:
    made = BlobServer()
    server.script = made.answer
    return made


def test_only_the_recorded_blocks_are_committed(blobs: BlobServer, azure: AzureBackend) -> None:
    old = azure.begin(spec_for("acme/big"))
    parts = put_parts(azure, old, [b"one", b"two"])
    new = azure.resume(old, 2)
    parts[1] = azure.put_part(new, 2, 3, memoryview(b"TWO!"))
    azure.put_part(old, 2, 3, memoryview(b"late"))
    assert [part.size for part in azure.list_parts(new) or ()] == [3, 4]
    commit(azure, new, parts, b"oneTWO!")
    assert content(azure, "acme/big") == b"oneTWO!"
    assert list(blobs.blobs) == ["acme/big"]
    assert azure.find_published("acme/big", old.spec.upload_id) is not None


def test_blocks_that_are_not_there_publish_nothing(blobs: BlobServer, azure: AzureBackend) -> None:
    partial = azure.begin(spec_for("acme/big"))
    parts = put_parts(azure, partial, [b"one", b"two"])
    blobs.blocks.clear()
    with pytest.raises(errors.VerificationFailed):
        commit(azure, partial, parts, b"onetwo")
    assert "acme/big" not in blobs.blobs


def test_an_aborted_or_swept_upload_cannot_go_on(blobs: BlobServer, azure: AzureBackend) -> None:
    aborted, swept = azure.begin(spec_for("acme/a")), azure.begin(spec_for("acme/b"))
    azure.abort(aborted)
    azure.abort(aborted)
    assert azure.sweep(lambda upload_id: False, older_than=datetime.now(UTC)) == 1
    for partial in (aborted, swept):
        assert azure.list_parts(partial) is None
        with pytest.raises(errors.NotFound):
            azure.resume(partial, 2)
        with pytest.raises(errors.NotFound):
            commit(azure, partial, [], b"")


def test_a_listing_reads_every_page(blobs: BlobServer, azure: AzureBackend) -> None:
    for name in ("a", "b", "in/c", "in/d"):
        put(azure, f"acme/{name}")
    azure.mkdir("acme/empty")
    found = listing(azure, "acme")
    assert {name: entry.is_dir for name, entry in found.items()} == {
        "a": False, "b": False, "in": True, "empty": True,
    }  # fmt: skip
    assert listing(azure, "acme/empty") == {}
    azure.check()


def test_a_rename_copies_and_deletes(blobs: BlobServer, azure: AzureBackend) -> None:
    put(azure, "acme/in/a", b"hello")
    azure.rename("acme/in/a", "acme/in/b", replace=False)
    azure.rename("acme/in", "acme/out", replace=False)
    assert list(blobs.blobs) == ["acme/out/b"]
    with pytest.raises(errors.Exists):
        put(azure, "acme/out/b", replace=False)
    azure.delete("acme/out/b")
    assert blobs.blobs == {}
