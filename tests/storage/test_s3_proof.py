"""A bit that flips between our buffer and storage, inside TLS, is never published."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest

from securedrop_ftp.conf import Conf
from securedrop_ftp.exceptions import VerificationFailed
from securedrop_ftp.storage.protocol import META_UPLOAD_ID, Partial
from securedrop_ftp.storage.retry import retry_counts
from securedrop_ftp.storage.s3.backend import S3Backend
from securedrop_ftp.storage.s3.multipart import MARKS
from securedrop_ftp.storage.s3.proof import PROBE, Check, Proof, Sent
from tests.faults.proxy import FaultProxy
from tests.fixtures.certificates import Certificates
from tests.storage import servers
from tests.storage.scripted_s3 import Answer, Request, ScriptedS3, error, scripted_s3
from tests.storage.servers import S3Bucket, s3_storage
from tests.storage.uploads import commit, content, pieces, put, put_parts, spec_for

OLD = b"the good old bytes"
SMALL = os.urandom(5000)
#: Marks and lists of parts are shorter.
LONG = 4096
#: What answers at once may take its time on a busy machine.
PATIENT = Conf(storage_timeout=60)
#: Whether a server of this run was seen to compare (the others compare nothing).
REAL = bool(servers.REAL_S3 & set(servers.chosen()))


@pytest.fixture
def flipping(s3_bucket: S3Bucket, certificates: Certificates) -> Iterator[FaultProxy]:
    near = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    near.load_cert_chain(certificates.server, certificates.server_key)
    far = ssl.create_default_context(cafile=s3_bucket.ca)
    target = urlsplit(s3_bucket.endpoint_url).port
    assert target is not None
    with FaultProxy(target, faults=("corrupt",), tls=(near, far), corrupt_from=LONG) as proxy:
        yield proxy


@pytest.fixture(params=["as seen", Check.NOTHING] if REAL else ["as seen"])
def s3(
    request: pytest.FixtureRequest,
    s3_bucket: S3Bucket,
    flipping: FaultProxy,
    certificates: Certificates,
) -> Iterator[S3Backend]:
    """Through the proxy; what the server compares as it was seen, or thought to be nothing."""
    behind = replace(
        s3_bucket, endpoint_url=f"https://127.0.0.1:{flipping.port}", ca=str(certificates.ca)
    )
    made = S3Backend(s3_storage(behind))
    if isinstance(request.param, Check):
        made._proof._check = request.param
    yield made
    made.close()


def flip_once(s3: S3Backend, proxy: FaultProxy) -> None:
    """The first request that carries the file meets a flip."""
    first = iter([True])

    def arm(request: Any, **_: Any) -> None:
        if int(request.headers.get("Content-Length", 0)) >= LONG and next(first, False):
            proxy.arm("corrupt")

    assert s3._proof.check  # asked before
    for signed in (False, True):
        s3._bucket.client(signed=signed).meta.events.register("before-send.s3", arm)


def test_each_server_compares_what_the_documentation_says(s3_bucket: S3Bucket) -> None:
    s3 = S3Backend(s3_storage(s3_bucket))
    assert s3._proof.check is (Check.SIGNATURE if REAL else Check.NOTHING)
    assert s3._first(PROBE[: PROBE.index("/")]) == []
    s3.close()


def test_a_part_that_is_damaged_once_is_sent_again(s3: S3Backend, flipping: FaultProxy) -> None:
    data = pieces(s3, 2)
    partial = s3.begin(spec_for("acme/a"))
    before = retry_counts().get("upload_part", 0)
    flip_once(s3, flipping)
    parts = put_parts(s3, partial, data)
    commit(s3, partial, parts, b"".join(data))
    assert content(s3, "acme/a") == b"".join(data)
    assert (flipping.done["corrupt"], retry_counts()["upload_part"]) == (1, before + 1)


def test_parts_that_are_always_damaged_are_never_taken_for_stored(
    s3: S3Backend, flipping: FaultProxy
) -> None:
    put(s3, "acme/a", OLD)
    partial = s3.begin(spec_for("acme/a"))
    flipping.rate = 1.0
    with pytest.raises(VerificationFailed):
        put_parts(s3, partial, pieces(s3, 2))
    assert flipping.done["corrupt"] == 2
    flipping.rate = 0.0
    s3.abort(partial)
    assert content(s3, "acme/a") == OLD


def test_a_small_file_that_is_damaged_once_is_sent_again(
    s3: S3Backend, flipping: FaultProxy
) -> None:
    flip_once(s3, flipping)
    put(s3, "acme/a", SMALL)
    assert flipping.done["corrupt"] == 1
    assert content(s3, "acme/a") == SMALL


def test_a_small_file_that_is_always_damaged_changes_nothing(
    s3: S3Backend, flipping: FaultProxy
) -> None:
    put(s3, "acme/a", OLD)
    flipping.rate = 1.0
    with pytest.raises(VerificationFailed):
        put(s3, "acme/a", SMALL)
    assert flipping.done["corrupt"] == 2
    flipping.rate = 0.0
    assert content(s3, "acme/a") == OLD
    answer = s3._bucket.call("list_multipart_uploads", Prefix=s3._bucket.prefix)
    assert "Uploads" not in answer
    assert s3._first(MARKS[:-1]) == []


# --- what servers answer -----------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[ScriptedS3]:
    with scripted_s3() as running:
        yield running


def proof_at(server: ScriptedS3) -> Proof:
    return S3Backend(s3_storage(server.bucket, verify=None), PATIENT)._proof


def test_a_server_that_compares_content_md5_alone_is_told_it(server: ScriptedS3) -> None:
    def script(request: Request) -> Answer:
        wrong = request.method == "PUT" and "Content-MD5" in request.headers
        return error(400, "BadDigest") if wrong else Answer(headers={"ETag": '"e"'})

    server.script = script
    proof = proof_at(server)
    assert proof.check is Check.MD5
    sent = proof.sent(memoryview(b"x"))
    assert (sent.signed, sent.parameters["ContentMD5"]) == (False, "ndTkYSaMgDT1yFZOFVxnpg==")


def test_a_bucket_with_object_lock_is_sent_an_md5_with_everything(server: ScriptedS3) -> None:
    """As Amazon answers: the signature alone will not do (s3tools/s3cmd issue 1436)."""

    def script(request: Request) -> Answer:
        if request.method == "PUT" and "Content-MD5" not in request.headers:
            return error(400, "InvalidRequest")
        probe = request.path.endswith(PROBE)
        return error(400, "BadDigest") if probe else Answer(headers={"ETag": '"e"'})

    server.script = script
    s3 = S3Backend(s3_storage(server.bucket, verify=None), PATIENT)
    assert s3._proof.check is Check.MD5
    s3._multiparts._mark("acme/a", "u1", {})
    s3._put_marker("acme/in/")
    s3.put_part(Partial(spec_for("acme/a"), "m1"), 1, 0, memoryview(b"x"))
    s3.close()


def test_a_lie_that_is_taken_is_taken_back(server: ScriptedS3) -> None:
    server.script = lambda r: Answer(headers={"ETag": '"e"'})
    assert proof_at(server).check is Check.NOTHING
    assert [r.method for r in server.requests] == ["PUT", "DELETE"] * 2


def test_a_lie_that_could_not_be_taken_back_is_swept(s3_bucket: S3Bucket) -> None:
    s3 = S3Backend(s3_storage(s3_bucket))
    s3._put_marker(PROBE)
    s3.sweep(lambda upload_id: False, older_than=datetime.now(UTC))
    assert s3._first(PROBE[: PROBE.index("/")]) == []
    s3.close()


@pytest.mark.parametrize("answer", [error(403, "AccessDenied"), error(500, "InternalError")])
def test_a_storage_that_does_not_say_is_trusted_with_nothing_and_asked_again_later(
    server: ScriptedS3, answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script = lambda r: answer
    proof = proof_at(server)
    assert (proof.check, proof.check) == (Check.NOTHING, Check.NOTHING)
    assert len(server.requests) == 1
    server.script = lambda r: error(400, "XAmzContentSHA256Mismatch")
    monkeypatch.setattr("securedrop_ftp.storage.s3.proof.AGAIN", 0.0)
    proof._not_before = 0.0
    assert proof.check is Check.SIGNATURE


@pytest.mark.parametrize(
    "answer",
    [
        {"ETag": '"0cc175b9c0f1b6a831c399e269772661"', "ServerSideEncryption": "aws:kms"},
        {"ETag": '"0cc175b9c0f1b6a831c399e269772661"', "SSECustomerAlgorithm": "AES256"},
        {"ETag": '"0cc175b9c0f1b6a831c399e269772661-1"'},
        {},
    ],
)
def test_an_etag_that_is_no_md5_is_not_compared(answer: dict[str, Any]) -> None:
    Sent(signed=False, md5=b"\0" * 16, compared=True).compare(answer)


def test_an_etag_that_is_another_md5_is_refused() -> None:
    with pytest.raises(VerificationFailed):
        Sent(signed=False, md5=b"\0" * 16, compared=True).compare({"ETag": f'"{"1" * 32}"'})


def test_what_was_published_before_its_answer_was_lost_is_not_put_twice(
    server: ScriptedS3,
) -> None:
    """A first try without an answer, a second one damaged: only storage knows."""
    s3 = S3Backend(s3_storage(server.bucket, verify=None), PATIENT)
    s3._proof._check = Check.SIGNATURE
    spec = spec_for("acme/a")
    answers: Iterator[Answer | None] = iter([None])
    there = Answer(
        headers={
            "Content-Length": "4",
            "ETag": '"e"',
            "Last-Modified": "Sun, 02 Aug 2026 10:00:00 GMT",
            f"x-amz-meta-{META_UPLOAD_ID}": spec.upload_id,
        }
    )
    server.script = lambda r: next(answers, error(400, "BadDigest")) if r.method == "PUT" else there
    assert s3.put_object(spec, memoryview(b"data"), sha256="0" * 64, replace=True).size == 4
    s3.close()
