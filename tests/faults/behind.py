"""A bucket behind a fault proxy."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.fixtures.certificates import Certificates
from tests.fixtures.stores import BucketStore


@dataclass(frozen=True)
class BehindProxy:
    """A bucket as the service sees it: through the proxy. Tests read it past the proxy."""

    direct: BucketStore
    client: Any
    port: int

    @property
    def url(self) -> str:
        return self.direct.url.replace(f"%3A{self.direct.server.port}", f"%3A{self.port}")

    @property
    def environment(self) -> Mapping[str, str]:
        return self.direct.environment

    def everything(self) -> dict[str, int]:
        return self.direct.everything()

    def read(self, key: str) -> bytes:
        try:
            body: bytes = self.client.get_object(Bucket=self.direct.bucket, Key=key)["Body"].read()
        except self.client.exceptions.NoSuchKey:
            raise KeyError(key) from None
        return body

    def below(self, prefix: str) -> dict[str, bytes]:
        return self.direct.below(prefix)

    def put(self, key: str, data: bytes) -> None:
        self.direct.put(key, data)

    def remove(self, key: str) -> None:
        self.direct.remove(key)

    def unfinished(self) -> int:
        return self.direct.unfinished()


def through_tls(certificates: Certificates) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Towards the service, towards the bucket."""
    near = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    near.load_cert_chain(certificates.server, certificates.server_key)
    return near, ssl.create_default_context(cafile=str(certificates.ca))
