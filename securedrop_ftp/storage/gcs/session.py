"""Google's resumable upload sessions, continued by any process that has their address.

A session takes its bytes in order, in multiples of 256 KiB, and publishes the object with the
last of them. So the tail of the last part is held back (in an object of ours, for it must outlive
this process too) until the commit sends it together with the object's length and CRC32C, which
the server checks before anything becomes visible.
https://cloud.google.com/storage/docs/performing-resumable-uploads
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

import google_crc32c

from securedrop_ftp.exceptions import NotFound, StorageRefused, VerificationFailed
from securedrop_ftp.storage.gcs.errors import fault, of_status
from securedrop_ftp.storage.retry import Attempts

MULTIPLE: Final = 256 * 1024
_INCOMPLETE: Final = 308
_RANGE: Final = re.compile(r"bytes=0-(\d+)\Z")


class _Answered(Exception):
    """An HTTP answer that is no success."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}")
        self.status = status
        self.text = text


class Session:
    """One session.

    Args:
        http: an authorised ``requests`` session of this thread.
        address: where it is; who has it may write.
        timeout: (connect, read) seconds.
        attempts: the deadline.
    """

    def __init__(
        self, http: Any, address: str, timeout: tuple[float, float], attempts: Attempts
    ) -> None:
        if not address.startswith(("https://", "http://127.0.0.1", "http://localhost")):
            raise StorageRefused("That is not the address of an upload session.")
        self._http = http
        self._address = address
        self._timeout = timeout
        self.attempts = attempts

    def _put(self, content_range: str, data: memoryview, headers: dict[str, str]) -> Any:
        """The response: 200 or 201, else 308."""

        def once() -> Any:
            answer = self._http.request(
                "PUT",
                self._address,
                data=data if data.nbytes else b"",
                headers={
                    "Content-Range": content_range,
                    "Content-Length": str(data.nbytes),
                    **headers,
                },
                timeout=self._timeout,
                allow_redirects=False,
            )
            if answer.status_code not in (200, 201, _INCOMPLETE):
                raise _Answered(answer.status_code, answer.text[:500])
            return answer

        def meaning(exc: Exception) -> Any:
            return of_status(exc.status, exc.text) if isinstance(exc, _Answered) else fault(exc)

        return self.attempts.run("resumable_put", once, meaning)

    def persisted(self) -> int | None:
        """Bytes that the server holds; ``None``: the session is over or unknown."""
        try:
            answer = self._put("bytes */*", memoryview(b""), {})
        except NotFound:
            return None
        return _held(answer) if answer.status_code == _INCOMPLETE else None

    def send(self, offset: int, data: memoryview) -> int:
        """Put whole multiples at ``offset``; returns how many bytes the server holds then."""
        answer = self._put(f"bytes {offset}-{offset + data.nbytes - 1}/*", data, {})
        return _held(answer) if answer.status_code == _INCOMPLETE else -1

    def finish(self, offset: int, tail: memoryview, size: int, crc: str) -> dict[str, Any]:
        """Send the rest and publish; returns the object's resource."""
        span = f"{offset}-{size - 1}" if tail.nbytes else "*"
        headers = {"X-Goog-Hash": f"crc32c={crc}"} if crc else {}
        answer = self._put(f"bytes {span}/{size}", tail, headers)
        if answer.status_code == _INCOMPLETE:
            raise VerificationFailed("The session does not hold all the bytes.")
        resource: dict[str, Any] = answer.json()
        return resource

    def cancel(self) -> None:
        """Discard the session; an old or unknown one is no error."""
        try:
            self.attempts.run(
                "resumable_cancel",
                lambda: self._http.request(
                    "DELETE", self._address, timeout=self._timeout, headers={"Content-Length": "0"}
                ),
                fault,
            )
        except NotFound:
            return


def _held(answer: Any) -> int:
    match = _RANGE.match(answer.headers.get("Range", ""))
    # Whole multiples only; some servers say 0-0 for nothing.
    return (int(match[1]) + 1) // MULTIPLE * MULTIPLE if match else 0


def checksum(data: memoryview) -> str:
    """CRC32C of a part, in hex."""
    # The C extension takes immutable bytes only; the copy costs less than the checksum.
    return f"{google_crc32c.value(bytes(data)):08x}"


def combined(parts: Iterable[tuple[str, int]]) -> str:
    """CRC32C of parts that follow each other, from each one's (checksum, size); ``""`` if one is
    not known. In Google's writing: base64 of the big-endian number."""
    whole = 0
    for part, size in parts:
        if not part:
            return ""
        whole = _apply(_shift(size), whole) ^ int(part, 16)
    return b64encode(whole.to_bytes(4, "big")).decode()


# A CRC is linear over GF(2): appending n bytes multiplies the one before by a 32 × 32 matrix of
# bits, which is the n-th power of the matrix for one zero byte (zlib's crc32_combine).


@lru_cache(maxsize=64)
def _shift(size: int) -> tuple[int, ...]:
    power = _ONE_BYTE
    result = tuple(1 << bit for bit in range(32))
    while size:
        if size & 1:
            result = tuple(_apply(power, row) for row in result)
        power = tuple(_apply(power, row) for row in power)
        size >>= 1
    return result


def _apply(matrix: tuple[int, ...], vector: int) -> int:
    total = 0
    for row in matrix:
        if vector & 1:
            total ^= row
        vector >>= 1
    return total


def _one_byte() -> tuple[int, ...]:
    rows = []
    for bit in range(32):
        value = 1 << bit
        for _ in range(8):
            value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
        rows.append(value)
    return tuple(rows)


_POLYNOMIAL: Final = 0x82F63B78  # Castagnoli's, reflected (RFC 3720)
_ONE_BYTE: Final = _one_byte()
