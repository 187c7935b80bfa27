"""Each way in which S3 fails, made to happen: what is raised, and what was tried again."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest

from securedrop_ftp import exceptions as errors
from securedrop_ftp import replies
from securedrop_ftp.conf import Conf
from securedrop_ftp.ftps.answers import answer
from securedrop_ftp.replies import Reply
from securedrop_ftp.storage.protocol import META_UPLOAD_ID, Entry, Part, Partial
from securedrop_ftp.storage.retry import retry_counts
from securedrop_ftp.storage.s3.backend import S3Backend
from securedrop_ftp.storage.s3.proof import Check
from tests.fixtures.processes import free_port
from tests.storage.scripted_s3 import HANG_UP, Answer, Request, ScriptedS3, error, scripted_s3
from tests.storage.servers import S3Bucket, s3_storage
from tests.storage.uploads import put, spec_for

#: Long enough for a machine that is busy.
PATIENT = Conf(storage_timeout=60, operation_timeout=120)

pytestmark = pytest.mark.usefixtures("instant_retries")
OK = Answer()


def backend_at(bucket: S3Bucket, conf: Conf = PATIENT) -> S3Backend:
    made = S3Backend(s3_storage(bucket, verify=bucket.ca or None), conf)
    made._proof._check = Check.SIGNATURE  # tests/storage/test_s3_proof.py has the others
    return made


@pytest.fixture
def server() -> Iterator[ScriptedS3]:
    with scripted_s3() as running:
        yield running


@pytest.fixture
def s3(server: ScriptedS3) -> Iterator[S3Backend]:
    made = backend_at(server.bucket)
    yield made
    made.close()


def head_of(upload_id: str, size: int) -> Answer:
    return Answer(
        headers={
            "Content-Length": str(size),
            "ETag": '"e"',
            "Last-Modified": "Sun, 02 Aug 2026 10:00:00 GMT",
            f"x-amz-meta-{META_UPLOAD_ID}": upload_id,
        }
    )


@pytest.mark.parametrize(
    ("status", "code", "kind", "reply"),
    [
        (404, "NoSuchBucket", errors.StorageRefused, replies.STORAGE_REFUSED),
        (403, "AccessDenied", errors.StorageRefused, replies.STORAGE_REFUSED),
        (403, "InvalidAccessKeyId", errors.StorageRefused, replies.STORAGE_REFUSED),
        (403, "SignatureDoesNotMatch", errors.StorageRefused, replies.STORAGE_REFUSED),
        (403, "RequestTimeTooSkewed", errors.StorageRefused, replies.STORAGE_REFUSED),
        (403, "QuotaExceeded", errors.StorageFull, replies.STORAGE_FULL),
        (507, "XMinioStorageFull", errors.StorageFull, replies.STORAGE_FULL),
        (400, "EntityTooLarge", errors.TooLarge, replies.TOO_LARGE),
        (400, "KeyTooLongError", errors.BadName, replies.BAD_NAME),
        (503, "SlowDown", errors.StorageUnavailable, replies.STORAGE_UNAVAILABLE),
        (429, "TooManyRequests", errors.StorageUnavailable, replies.STORAGE_UNAVAILABLE),
        (503, "ServiceUnavailable", errors.StorageUnavailable, replies.STORAGE_UNAVAILABLE),
        (500, "InternalError", errors.StorageUnavailable, replies.STORAGE_UNAVAILABLE),
        (502, "BadGateway", errors.StorageUnavailable, replies.STORAGE_UNAVAILABLE),
        (418, "Teapot", errors.StorageError, replies.LOCAL_ERROR),
    ],
)
def test_an_error_code_becomes_our_exception_and_its_reply(
    server: ScriptedS3,
    s3: S3Backend,
    status: int,
    code: str,
    kind: type[errors.SecureDropError],
    reply: Reply,
) -> None:
    server.script = lambda request: error(status, code)
    with pytest.raises(kind) as caught:
        s3.check()
    assert answer(caught.value).code == reply.code
    assert "bucket" in str(caught.value)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (403, errors.StorageRefused),
        (404, errors.NotFound),
        (503, errors.StorageUnavailable),
        (500, errors.StorageUnavailable),
    ],
)
def test_a_head_has_only_its_status_to_tell(
    server: ScriptedS3, s3: S3Backend, status: int, kind: type[Exception]
) -> None:
    server.script = lambda request: (
        Answer(status) if request.method == "HEAD" else Answer(body=b"<ListBucketResult/>")
    )
    with pytest.raises(kind):
        s3.stat("acme/a")


@pytest.mark.integration
def test_a_closed_port_is_unavailable_storage_and_not_an_unknown_outcome() -> None:
    s3 = backend_at(S3Bucket("bucket", f"http://127.0.0.1:{free_port()}", ""))
    with pytest.raises(errors.StorageUnavailable):
        put(s3, "acme/a")


def test_a_missing_bucket_is_refused(moto_bucket: S3Bucket) -> None:
    s3 = backend_at(replace(moto_bucket, name="no-such-bucket"))
    with pytest.raises(errors.StorageRefused, match=r"no-such-bucket.*does not exist"):
        s3.check()
    with pytest.raises(errors.StorageRefused):
        put(s3, "acme/a")
    with pytest.raises(errors.StorageRefused):
        s3.begin(spec_for("acme/a"))
    with pytest.raises(errors.StorageRefused):
        s3.stat("acme/a")


def test_an_untrusted_certificate_is_refused_at_once(moto_bucket: S3Bucket) -> None:
    s3 = S3Backend(s3_storage(moto_bucket, verify=None), PATIENT)
    before = retry_counts()
    with pytest.raises(errors.StorageRefused, match="certificate"):
        s3.check()
    assert retry_counts() == before


def test_throttling_is_tried_again_and_counted(server: ScriptedS3, s3: S3Backend) -> None:
    answers = iter([error(503, "SlowDown"), error(429, "TooManyRequests")])
    server.script = lambda request: next(answers, OK)
    before = retry_counts().get("upload_part", 0)
    server_part = Partial(spec_for("acme/a"), "m1")
    server.script = lambda request: next(answers, Answer(headers={"ETag": '"e"'}))
    part = s3.put_part(server_part, 1, 0, memoryview(b"x" * 100_000))
    assert part.token == '"e"'
    assert retry_counts()["upload_part"] == before + 2
    assert [len(r.body) for r in server.requests] == [100_000] * 3


def test_what_is_refused_is_not_tried_again(server: ScriptedS3, s3: S3Backend) -> None:
    server.script = lambda request: error(403, "AccessDenied")
    with pytest.raises(errors.StorageRefused):
        put(s3, "acme/a")
    assert len(server.requests) == 1


@pytest.fixture
def impatient(server: ScriptedS3) -> Iterator[S3Backend]:
    """For servers that stay silent, so that every try fails whatever the time is."""
    made = backend_at(server.bucket, Conf(storage_timeout=1.5))
    yield made
    made.close()


def test_a_silent_server_is_unavailable_storage(server: ScriptedS3, impatient: S3Backend) -> None:
    def script(request: Request) -> Answer:
        server.silence()
        return OK

    server.script = script
    with pytest.raises(errors.StorageUnavailable, match="in time"):
        impatient.check()


# --- publishing without an answer --------------------------------------------------------


def test_a_put_without_an_answer_that_is_there_is_published(
    server: ScriptedS3, s3: S3Backend
) -> None:
    upload_id = str(uuid.uuid4())
    server.script = lambda r: HANG_UP if r.method == "PUT" else head_of(upload_id, 4)
    published = put(s3, "acme/a", b"data", upload_id=upload_id)
    assert published.size == 4


def test_a_put_that_was_answered_the_second_time_may_land_again(server: ScriptedS3) -> None:
    s3 = backend_at(server.bucket)
    md5 = Answer(headers={"ETag": '"8d777f385d3dfec8815d20f7496026dc"'})
    answers: Iterator[Answer | None] = iter([HANG_UP, md5, md5])
    server.script = lambda r: next(answers)
    assert [put(s3, "acme/a", b"data").may_land_again for _ in "ab"] == [True, False]
    s3.close()


def test_a_put_without_an_answer_that_is_not_there_is_unknown(
    server: ScriptedS3, s3: S3Backend
) -> None:
    server.script = lambda r: HANG_UP if r.method == "PUT" else Answer(404)
    with pytest.raises(errors.OutcomeUnknown):
        put(s3, "acme/a")


def test_a_put_without_an_answer_over_anothers_object_is_unknown(
    server: ScriptedS3, s3: S3Backend
) -> None:
    server.script = lambda r: HANG_UP if r.method == "PUT" else head_of("another", 4)
    with pytest.raises(errors.OutcomeUnknown):
        put(s3, "acme/a")


def test_a_silent_put_is_unknown(server: ScriptedS3, impatient: S3Backend) -> None:
    def script(request: Request) -> Answer | None:
        server.silence()
        return HANG_UP

    server.script = script
    with pytest.raises(errors.OutcomeUnknown):
        put(impatient, "acme/a")


def test_our_own_first_try_is_not_taken_for_anothers_file(
    server: ScriptedS3, s3: S3Backend
) -> None:
    """The first try was carried out but got no answer; the second meets its own object."""
    upload_id = str(uuid.uuid4())
    heads = iter([Answer(404)])
    puts = iter([HANG_UP])

    def script(request: Request) -> Answer | None:
        if request.method == "PUT":
            return next(puts, error(412, "PreconditionFailed"))
        return next(heads, head_of(upload_id, 4))

    server.script = script
    assert put(s3, "acme/a", b"data", upload_id=upload_id, replace=False).size == 4


PARTS = b"""<ListPartsResult><IsTruncated>false</IsTruncated>
<Part><PartNumber>1</PartNumber><ETag>"e"</ETag><Size>4</Size></Part></ListPartsResult>"""


def complete(s3: S3Backend, upload_id: str) -> int:
    partial = Partial(spec_for("acme/a", upload_id), "m1")
    return s3.commit(partial, [Part(1, 0, 4, '"e"')], size=4, sha256="0" * 64, replace=True).size


def test_a_look_that_got_no_answer_leaves_no_doubt_about_the_put_behind_it(
    server: ScriptedS3, s3: S3Backend
) -> None:
    heads = iter([head_of("", 4), HANG_UP, error(404, "NoSuchKey")])

    def script(request: Request) -> Answer | None:
        return next(heads) if request.method == "HEAD" else error(403, "AccessDenied")

    server.script = script
    s3.stat("acme/b")  # the client is made now, which is not to be in the deadline below
    with pytest.raises(errors.StorageRefused):
        put(s3, "acme/a", replace=False)
    assert [request.method for request in server.requests] == ["HEAD", "HEAD", "HEAD", "PUT"]


def test_completing_without_an_answer_that_is_there_is_published(
    server: ScriptedS3, s3: S3Backend
) -> None:
    upload_id = str(uuid.uuid4())

    def script(request: Request) -> Answer | None:
        if request.method == "GET":
            return Answer(body=PARTS)
        if request.method == "POST":
            return HANG_UP
        return head_of(upload_id, 4) if request.method == "HEAD" else Answer(204)

    server.script = script
    assert complete(s3, upload_id) == 4


def test_completing_that_was_lost_and_then_forgotten_is_unknown(
    server: ScriptedS3, s3: S3Backend
) -> None:
    posts = iter([HANG_UP])

    def script(request: Request) -> Answer | None:
        if request.method == "GET":
            return Answer(body=PARTS)
        if request.method == "POST":
            return next(posts, error(404, "NoSuchUpload"))
        return Answer(404)

    server.script = script
    with pytest.raises(errors.OutcomeUnknown):
        complete(s3, str(uuid.uuid4()))


def test_an_error_inside_a_200_answer_is_an_error(server: ScriptedS3, s3: S3Backend) -> None:
    """S3 sends its 200 before CompleteMultipartUpload is done, and may fail after it."""

    def script(request: Request) -> Answer | None:
        if request.method == "GET":
            return Answer(body=PARTS)
        if request.method == "POST":
            return Answer(200, error(500, "InternalError").body)
        return Answer(404)

    server.script = script
    with pytest.raises(errors.OutcomeUnknown):
        complete(s3, str(uuid.uuid4()))


def test_refused_completion_changed_nothing(server: ScriptedS3, s3: S3Backend) -> None:
    server.script = lambda r: (
        Answer(body=PARTS) if r.method == "GET" else error(403, "AccessDenied")
    )
    with pytest.raises(errors.StorageRefused):
        complete(s3, str(uuid.uuid4()))


def test_parts_that_changed_in_storage_are_not_published(server: ScriptedS3, s3: S3Backend) -> None:
    server.script = lambda r: Answer(body=PARTS.replace(b'"e"', b'"other"'))
    with pytest.raises(errors.VerificationFailed):
        complete(s3, str(uuid.uuid4()))
    assert {r.method for r in server.requests} == {"GET"}


def test_a_published_object_of_another_size_is_no_success(
    server: ScriptedS3, s3: S3Backend
) -> None:
    upload_id = str(uuid.uuid4())
    server.script = lambda r: (
        Answer(headers={"ETag": '"kms"'}) if r.method == "PUT" else head_of(upload_id, 3)
    )
    with pytest.raises(errors.VerificationFailed):
        put(s3, "acme/a", b"data", upload_id=upload_id)


def test_an_object_that_its_reader_took_away_was_published(
    server: ScriptedS3, s3: S3Backend
) -> None:
    def script(request: Request) -> Answer:
        if request.method == "PUT":
            return Answer(headers={"ETag": '"kms"'})
        return Answer(404) if request.method == "HEAD" else Answer(body=b"<ListBucketResult/>")

    server.script = script
    assert put(s3, "acme/a", b"data").size == 4


# --- reading -----------------------------------------------------------------------------

ENTRY = Entry("acme/a", False, 10, None, '"e"')


def test_a_download_that_breaks_off_is_tried_again(server: ScriptedS3, s3: S3Backend) -> None:
    cuts = iter([Answer(206, b"0123456789", cut=4)])
    server.script = lambda r: next(cuts, Answer(206, b"0123456789"))
    assert s3.read(ENTRY, 0, 10) == b"0123456789"
    assert [r.headers["Range"] for r in server.requests] == ["bytes=0-9"] * 2


def test_a_download_that_always_breaks_off_is_never_short(
    server: ScriptedS3, s3: S3Backend
) -> None:
    server.script = lambda r: Answer(206, b"0123456789", cut=4)
    with pytest.raises(errors.StorageUnavailable):
        s3.read(ENTRY, 0, 10)


def test_fewer_bytes_than_asked_for_are_an_error(server: ScriptedS3, s3: S3Backend) -> None:
    server.script = lambda r: Answer(206, b"01234")
    with pytest.raises(errors.VerificationFailed):
        s3.read(ENTRY, 0, 10)
