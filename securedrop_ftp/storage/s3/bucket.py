"""One bucket and prefix, spoken to through one boto3 client for all threads of the process.

The ``S3Storage`` instance is used for its configuration only: its ``connection`` is one resource
for each thread (32 threads: 5.6 s and 513 MB), its ``bucket`` is shared though resources are not
thread-safe. Clients are; this one is made at first use, after the fork.
"""

from __future__ import annotations

import hashlib
import threading
from base64 import b64encode
from collections.abc import Iterator
from typing import Any, Final

from botocore.config import Config

from securedrop_ftp.conf import Conf, get_conf
from securedrop_ftp.exceptions import ConfigurationError
from securedrop_ftp.storage.django_storages import boto3_session
from securedrop_ftp.storage.listing import PAGE
from securedrop_ftp.storage.names import prefix_of
from securedrop_ftp.storage.retry import Attempts
from securedrop_ftp.storage.s3.errors import fault

#: Parameters that belong to writing an object, and do not go with a marker of ours.
_ABOUT_CONTENT: Final = frozenset({"ContentType", "ContentEncoding", "ContentDisposition"})


class Bucket:
    """See the module's docstring.

    Args:
        storage: an ``S3Storage``.
    """

    def __init__(self, storage: Any, conf: Conf | None = None) -> None:
        self._storage = storage
        self.conf = conf or get_conf()
        self.name: str = storage.bucket_name
        self.prefix = prefix_of(storage.location)
        self._lock = threading.Lock()
        self._clients: dict[tuple[bool, bool], Any] = {}
        if not self.name:
            raise ConfigurationError("The S3 storage has no bucket_name: set it in STORAGES.")

    # --- keys ------------------------------------------------------------------------

    def full(self, key: str) -> str:
        """The bucket's key of ours."""
        return self.prefix + key

    def ours(self, full: str) -> str:
        """The inverse of :meth:`full`."""
        return full[len(self.prefix) :]

    # --- calls -----------------------------------------------------------------------

    def attempts(self, *, slow: bool = False) -> Attempts:
        """The deadline of a new operation."""
        return Attempts.of(self.conf.operation_timeout if slow else self.conf.storage_timeout)

    def call(
        self,
        operation: str,
        attempts: Attempts | None = None,
        *,
        slow: bool = False,
        signed: bool = True,
        **params: Any,
    ) -> dict[str, Any]:
        """One S3 request, tried again inside its deadline.

        Args:
            operation: the client's method, such as ``head_object``.
            attempts: the deadline of the operation that this is a part of.
            slow: the server may be silent while it works (copies).
            signed: the body's SHA-256 goes into the signature (over plain HTTP it always does).
            params: as the client's method takes them.
        """
        attempts = attempts or self.attempts(slow=slow)
        method = getattr(self.client(slow=slow, signed=signed), operation)
        body = params.get("Body")

        def once() -> dict[str, Any]:
            if isinstance(body, PartBody):
                body.seek(0)  # an earlier try may have sent some of it
            answer: dict[str, Any] = method(Bucket=self.name, **params)
            return answer

        return attempts.run(operation, once, fault)

    def put(self, key: str, content: bytes, **params: Any) -> None:
        """A small object of our own. Its MD5 goes with it: buckets with Object Lock ask for it."""
        self.call(
            "put_object",
            Key=self.full(key),
            Body=content,
            ContentMD5=b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode(),
            **{**self.write_parameters(key, content=False), **params},
        )

    def read(self, key: str, etag: str, start: int, stop: int) -> bytes:
        """Bytes ``start`` to ``stop`` (exclusive) of the object with that ETag, in one request."""
        params = {"Key": self.full(key), "Range": f"bytes={start}-{stop - 1}"}
        if etag:
            params["IfMatch"] = etag
        get = self.client().get_object

        def fetch() -> bytes:
            # The body is read inside the try: a connection lost in its midst is tried again.
            body: bytes = get(Bucket=self.name, **params)["Body"].read()
            return body

        return self.attempts().run("get_object", fetch, fault)

    def pages(
        self, prefix: str, delimiter: str = "", limit: int = PAGE
    ) -> Iterator[dict[str, Any]]:
        """``list_objects_v2`` of a prefix under ours."""
        params: dict[str, Any] = {"Prefix": self.full(prefix), "MaxKeys": limit}
        if delimiter:
            params["Delimiter"] = delimiter
        while True:
            page = self.call("list_objects_v2", **params)
            yield page
            if not page.get("IsTruncated"):
                return
            params["ContinuationToken"] = page["NextContinuationToken"]

    def write_parameters(self, key: str, *, content: bool = True) -> dict[str, Any]:
        """What the storage's settings put on an object (encryption, storage class, ACL)."""
        params = dict(self._storage.get_object_parameters(self.full(key)))
        if self._storage.default_acl:
            params.setdefault("ACL", self._storage.default_acl)
        if not content:
            params = {name: v for name, v in params.items() if name not in _ABOUT_CONTENT}
        params.pop("Metadata", None)
        return params

    # --- client ----------------------------------------------------------------------

    def client(self, *, slow: bool = False, signed: bool = True) -> Any:
        """The shared client; ``slow``: one that waits longer for an answer; not ``signed``: one
        that signs a request's head alone."""
        client = self._clients.get((slow, signed))
        if client is None:
            with self._lock:
                client = self._clients.get((slow, signed))
                if client is None:
                    client = self._clients[slow, signed] = self._make_client(slow, signed)
        return client

    def _make_client(self, slow: bool, signed: bool) -> Any:
        storage = self._storage
        return boto3_session(storage).client(
            "s3",
            region_name=storage.region_name,
            use_ssl=storage.use_ssl,
            endpoint_url=storage.endpoint_url,
            verify=storage.verify,
            config=self._client_config(slow, signed),
        )

    def _client_config(self, slow: bool, signed: bool) -> Config:
        given: Config = self._storage.client_config
        timeout = self.conf.operation_timeout if slow else self.conf.storage_timeout
        return given.merge(
            Config(
                # boto3's trailing checksums get 411 from Ceph RGW and others, and cost half the
                # speed; what proves the bytes is chosen for each server (proof.py).
                request_checksum_calculation=given.request_checksum_calculation or "when_required",
                response_checksum_validation=given.response_checksum_validation or "when_required",
                s3={"payload_signing_enabled": signed, **(given.s3 or {})},
                retries={"total_max_attempts": 1, "mode": "standard"},  # ours: retry.py
                connect_timeout=min(5.0, timeout / 4),
                read_timeout=timeout / 3,
                max_pool_connections=self.conf.storage_threads + 8,
                tcp_keepalive=True,
            )
        )

    def close(self) -> None:
        """Close the clients and their connections; the next use makes new ones."""
        with self._lock:
            clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            client.close()


class PartBody:
    """A ``memoryview`` as the request body that botocore takes, without a copy.

    botocore refuses a memoryview but takes what has ``read``; urllib3 then asks for 16 KiB at a
    time, which would be one TLS record and one Python round each. What ``read`` gives is handed
    to ``sendall`` as it is, so it may be more.
    """

    CHUNK: Final = 1024 * 1024

    def __init__(self, data: memoryview) -> None:
        self._data = data.cast("B")
        self._at = 0

    def __len__(self) -> int:
        return len(self._data)

    def read(self, size: int = -1) -> memoryview:
        """The next MiB; all that is left for a negative ``size``."""
        step = len(self._data) if size < 0 else self.CHUNK
        chunk = self._data[self._at : self._at + step]
        self._at += len(chunk)
        return chunk

    def seek(self, offset: int, whence: int = 0) -> int:
        """As files do: retries and redirects begin again."""
        base = (0, self._at, len(self._data))[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """Where the next read begins, as files tell it."""
        return self._at

    def release(self) -> None:
        """Refer to nothing any more: botocore's requests live on in reference cycles."""
        self._data, self._at = memoryview(b""), 0
