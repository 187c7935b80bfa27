"""The digest of an object read back from storage, where no digest came with its bytes."""

from __future__ import annotations

from securedrop_ftp.conf import MIB
from securedrop_ftp.exceptions import VerificationFailed
from securedrop_ftp.intake.digest import new_digest
from securedrop_ftp.storage.protocol import Backend

_CHUNK = 8 * MIB


def digest_of(backend: Backend, key: str, size: int) -> str:
    """SHA-256 of the ``size`` bytes at ``key``, lower-case hex.

    Raises:
        VerificationFailed: there are fewer bytes.
        StorageError: it could not be read.
    """
    digest = new_digest()
    entry = backend.stat(key)
    offset = 0
    while offset < size:
        data = backend.read(entry, offset, min(_CHUNK, size - offset))
        if not data:
            raise VerificationFailed(f"only {offset} bytes of {size} came back")
        digest.update(data)
        offset += len(data)
    return digest.hexdigest()
