"""How the server proves that it holds the bytes that were sent: found out by a probe.

Every server accepts a checksum, and some never compare it. So before the first upload of a process
a small probe is sent, an object of other bytes than were signed. A server that refuses it compares
the SHA-256 of every payload with the signature (SigV4): bytes that were damaged on the way are
refused, and nobody without our key can change both. A server that accepts the probe may still
compare Content-MD5, which a second probe finds out. Where it compares neither, we compare the MD5
with the ETag, before anything is published.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from base64 import b64encode
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from securedrop_ftp.exceptions import (
    SecureDropError,
    StorageError,
    StorageRefused,
    VerificationFailed,
)
from securedrop_ftp.log import get_logger
from securedrop_ftp.storage.protocol import RESERVED
from securedrop_ftp.storage.retry import Attempts
from securedrop_ftp.storage.s3.bucket import Bucket

logger = get_logger(__name__)

#: The key of a probe.
PROBE: Final = f"{RESERVED}probe"
PROMISED: Final = b"as signed"
ALTERED: Final = b"otherwise"
#: Seconds until the next probe where storage did not answer one.
AGAIN: Final = 60.0
_MD5: Final = re.compile(r'"?([0-9a-f]{32})"?\Z')


class Check(Enum):
    """What the server compares before it keeps anything."""

    SIGNATURE = "the payload's SHA-256 with the signature"
    MD5 = "the payload with Content-MD5"
    NOTHING = "nothing: its ETag must be compared"


@dataclass(frozen=True, slots=True)
class Sent:
    """How one body is sent.

    Attributes:
        signed: its SHA-256 goes into the signature.
        md5: its MD5, where that is sent.
        compared: we compare the MD5 with the ETag.
    """

    signed: bool
    md5: bytes | None = None
    compared: bool = False

    @property
    def parameters(self) -> dict[str, Any]:
        """What goes into the request because of it, as boto3 names it."""
        return {"ContentMD5": b64encode(self.md5).decode()} if self.md5 is not None else {}

    def is_md5(self, answer: dict[str, Any]) -> bool:
        """Whether the answer's ETag is our MD5: the server read the bytes as we did."""
        return self.md5 is not None and str(answer.get("ETag")).strip('"') == self.md5.hex()

    def compare(self, answer: dict[str, Any]) -> None:
        """Compare the ETag with the MD5, where the server itself compares nothing.

        Raises:
            VerificationFailed: it is the MD5 of other bytes.
        """
        if self.compared and tells_md5(answer) and not self.is_md5(answer):
            raise VerificationFailed("The bytes were damaged on the way: storage has another MD5.")


def tells_md5(answer: dict[str, Any]) -> bool:
    """Whether the answer's ETag is an MD5 of the body. Under SSE-KMS and SSE-C it only looks like
    one (Amazon S3 API Reference, "Object")."""
    encrypted = str(answer.get("ServerSideEncryption", "")).startswith("aws:")
    looks = _MD5.match(str(answer.get("ETag", ""))) is not None
    return looks and not encrypted and not answer.get("SSECustomerAlgorithm")


class Proof:
    """Which integrity check the server of ``bucket`` was found to make."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._lock = threading.Lock()
        self._check: Check | None = None
        self._not_before = 0.0

    @property
    def check(self) -> Check:
        """The check that was found. The first caller probes, in one try. Meanwhile, and for
        :data:`AGAIN` seconds where storage did not answer, it is ``NOTHING``, which is safe with
        every server."""
        if self._check is None and self._lock.acquire(blocking=False):
            try:
                if self._check is None and time.monotonic() >= self._not_before:
                    self._probe()
            finally:
                self._lock.release()
        return self._check or Check.NOTHING

    def _probe(self) -> None:
        try:
            self._check = self._found()
        except SecureDropError as exc:
            self._not_before = time.monotonic() + AGAIN
            logger.warning("storage.integrity_check.unknown", reason=str(exc))
        else:
            logger.info("storage.integrity_check.found", compares=self._check.value)

    def _found(self) -> Check:
        try:
            if self._refuses(signed=True, Body=AlteredBody(), ContentLength=len(ALTERED)):
                return Check.SIGNATURE
        except StorageError as exc:
            if exc.transient or isinstance(exc, StorageRefused):
                raise
            # A bucket with Object Lock asks for a checksum beside the signature.
            logger.info("storage.signature_probe.rejected", reason=str(exc), next="Content-MD5")
        promised = _md5(memoryview(PROMISED))
        if self._refuses(signed=False, Body=ALTERED, **Sent(False, promised).parameters):
            return Check.MD5
        return Check.NOTHING

    def _refuses(self, *, signed: bool, **probe: Any) -> bool:
        key = self._bucket.full(PROBE)
        params = self._bucket.write_parameters(PROBE, content=False)
        once = Attempts(0)
        try:
            self._bucket.call("put_object", once, signed=signed, Key=key, **params, **probe)
        except VerificationFailed:
            return True
        self._bucket.call("delete_object", once, Key=key)
        return False

    def forget(self) -> None:
        """Remove a probe that was stored and could not be removed at once."""
        self._bucket.call("delete_object", Key=self._bucket.full(PROBE))

    def sent(self, data: memoryview, *, md5: bool = False) -> Sent:
        """How ``data`` is to be sent; ``md5``: with its MD5 in any case."""
        check = self.check
        if check is Check.SIGNATURE and not md5:
            return Sent(signed=True)
        return Sent(check is Check.SIGNATURE, _md5(data), compared=check is Check.NOTHING)


def _md5(data: memoryview) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


class AlteredBody:
    """A body that reads as ``PROMISED`` when it is signed, and as ``ALTERED`` when it is sent."""

    def __init__(self) -> None:
        self._text = PROMISED
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes, as files give them."""
        text = self._text[self._at :][: None if size < 0 else size]
        self._at += len(text)
        if not text:
            self._text = ALTERED
        return text

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to an offset, as files do."""
        self._at = offset + (0, self._at, len(ALTERED))[whence]
        return self._at

    def tell(self) -> int:
        """Where the next read begins, as files tell it."""
        return self._at
