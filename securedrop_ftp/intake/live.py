"""The uploads that this process is writing."""

from __future__ import annotations

import threading
from typing import Protocol
from uuid import UUID

from securedrop_ftp.intake.ledger import Claim


class LiveUpload(Protocol):
    """What others need of a running upload: its claim, and a way to stop it."""

    @property
    def claim(self) -> Claim:
        """The row and the epoch that it writes under."""

    def lose(self) -> None:
        """Another session took the upload over. From any thread."""


class LiveUploads:
    """By the id of the ledger row, from admission to the end of the commit. Thread-safe."""

    def __init__(self) -> None:
        self._uploads: dict[UUID, LiveUpload] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        with self._lock:
            return len(self._uploads)

    def add(self, upload: LiveUpload) -> None:
        """Watch an upload that was admitted."""
        with self._lock:
            self._uploads[upload.claim.upload_id] = upload

    def remove(self, upload: LiveUpload) -> None:
        """Watch an upload no longer: it has ended."""
        with self._lock:
            self._uploads.pop(upload.claim.upload_id, None)

    def claims(self) -> list[Claim]:
        """Whose leases are to be extended."""
        with self._lock:
            return [upload.claim for upload in self._uploads.values()]

    def lose(self, upload_id: UUID) -> bool:
        """Stop an upload whose row another session has. False: it does not run here."""
        with self._lock:
            upload = self._uploads.get(upload_id)
        if upload is None:
            return False
        upload.lose()
        return True
