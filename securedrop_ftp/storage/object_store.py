"""What the object stores share beside directories: deadlines of requests, whose object it is that
stands at a key, and what the silence of a publishing call means."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import suppress
from dataclasses import replace as but

from securedrop_ftp.exceptions import (
    Exists,
    NotFound,
    OutcomeUnknown,
    SecureDropError,
    VerificationFailed,
)
from securedrop_ftp.storage.flat import FlatStore
from securedrop_ftp.storage.protocol import (
    META_UPLOAD_ID,
    Entry,
    ObjectSpec,
    Part,
    Partial,
    Published,
)
from securedrop_ftp.storage.retry import Attempts


class ObjectStore(FlatStore):
    """The half of a backend that does not depend on how its store takes the parts of an upload."""

    # --- primitives ------------------------------------------------------------------

    @abstractmethod
    def _head(self, key: str, attempts: Attempts | None = None) -> Entry:
        """The object of exactly this key, with its metadata; raises NotFound."""

    @abstractmethod
    def _fetch(self, entry: Entry, start: int, stop: int) -> bytes:
        """Bytes ``start`` to ``stop`` (exclusive) of just this version, in one request."""

    @abstractmethod
    def list_parts(self, partial: Partial) -> list[Part] | None:
        """See the protocol."""

    @property
    @abstractmethod
    def _place(self) -> str:
        """What an operator calls it: the bucket, the container."""

    # --- deadlines -------------------------------------------------------------------

    def _attempts(self) -> Attempts:
        return Attempts.of(self.conf.storage_timeout)

    def _publishing(self) -> Attempts:
        return Attempts.of_publishing(self.conf.storage_timeout)

    # --- writing ---------------------------------------------------------------------

    def resume(self, partial: Partial, epoch: int) -> Partial:
        """See the protocol. What a late writer puts carries another token (an ETag, a block's id,
        a checksum) than the part that was recorded, and ``commit`` names the recorded ones."""
        if self.list_parts(partial) is None:
            raise NotFound("The unfinished upload is gone.")
        return but(partial, spec=but(partial.spec, epoch=epoch))

    def _refuse_object(self, key: str, attempts: Attempts) -> None:
        with suppress(NotFound):
            self._head(key, attempts)
            raise Exists
        attempts.unanswered = 0  # to look changes nothing, whatever its tries came to

    def _settle(self, spec: ObjectSpec, failure: SecureDropError, attempts: Attempts) -> Published:
        """A publishing call failed. Where it may have been carried out, only finding our upload at
        its key is an answer.

        Raises:
            SecureDropError: ``failure``, where nothing was done.
            OutcomeUnknown: our upload was not found, or the store does not say.
        """
        if not attempts.ambiguous:
            raise failure
        try:
            found = self._published(spec.key, spec.upload_id, attempts)
        except SecureDropError as exc:
            raise OutcomeUnknown(str(failure)) from exc
        if found is None:
            raise OutcomeUnknown(str(failure)) from failure
        return found

    def find_published(self, key: str, upload_id: str) -> Published | None:
        """See the protocol."""
        return self._published(key, upload_id, self._attempts())

    def _published(self, key: str, upload_id: str, attempts: Attempts) -> Published | None:
        try:
            found = self._head(key, attempts)
        except NotFound:
            return None
        if found.metadata.get(META_UPLOAD_ID) != upload_id:
            return None
        return Published(key, found.size, found.etag)

    # --- reading ---------------------------------------------------------------------

    def read(self, entry: Entry, offset: int, length: int) -> bytes:
        """See the protocol."""
        stop = min(offset + length, entry.size)
        if offset >= stop:
            return b""
        data = self._fetch(entry, offset, stop)
        if len(data) != stop - offset:
            raise VerificationFailed(f"Storage gave {len(data)} bytes of {stop - offset}.")
        return data

    # --- life ------------------------------------------------------------------------

    def check(self) -> None:
        """List at most one object."""
        try:
            next(self._list("", deep=True, limit=1), None)
        except SecureDropError as exc:
            raise type(exc)(f"{self._place}: {exc}") from exc
