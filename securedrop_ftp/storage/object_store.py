"""What the object stores share beside directories: deadlines of requests, whose object it is that
stands at a key, and what a publishing call without an answer means."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace as but
from datetime import datetime
from typing import TypeVar

from securedrop_ftp.conf import Conf
from securedrop_ftp.exceptions import (
    Exists,
    NotFound,
    OutcomeUnknown,
    SecureDropError,
    VerificationFailed,
)
from securedrop_ftp.storage.errors import refuse_root, upload_is_gone
from securedrop_ftp.storage.faults import Fault
from securedrop_ftp.storage.flat import FlatStore
from securedrop_ftp.storage.marks import Marks
from securedrop_ftp.storage.names import prefix_of
from securedrop_ftp.storage.protocol import (
    META_UPLOAD_ID,
    Entry,
    ObjectSpec,
    Part,
    Partial,
    Published,
)
from securedrop_ftp.storage.retry import Attempts

T = TypeVar("T")


class ObjectStore(FlatStore):
    """The half of a backend that does not depend on how its store takes the parts of an upload.

    Args:
        conf: deadlines.
        location: of the Django storage: a folder in the bucket or container.
        errors: what the client's exceptions mean.
        marks: the directory of the backend's marks.
    """

    def __init__(
        self, conf: Conf, location: object, errors: Callable[[Exception], Fault], marks: str
    ) -> None:
        self.conf = conf
        self._prefix = prefix_of(location)
        self._errors = errors
        self._marks = Marks(marks, self._every, self._remove)

    # --- primitives ------------------------------------------------------------------

    @abstractmethod
    def _head(self, key: str, attempts: Attempts | None = None) -> Entry:
        """The object of exactly this key, with its metadata; raises NotFound."""

    @abstractmethod
    def _fetch(self, entry: Entry, start: int, stop: int) -> bytes:
        """Bytes ``start`` to ``stop`` (exclusive) of just this version, in one request."""

    @abstractmethod
    def _put(
        self, spec: ObjectSpec, data: memoryview, sha256: str, attempts: Attempts, *, replace: bool
    ) -> Published:
        """Publish a small file by one request, tried again inside ``attempts``."""

    @abstractmethod
    def list_parts(self, partial: Partial) -> list[Part] | None:
        """The parts that the store holds of an upload; each store asks in its own way."""

    @property
    @abstractmethod
    def _in_words(self) -> str:
        """What an operator calls it: the bucket, the container."""

    # --- deadlines -------------------------------------------------------------------

    def _attempts(self) -> Attempts:
        return Attempts.of(self.conf.storage_timeout)

    def _call(self, name: str, call: Callable[[], T], attempts: Attempts | None = None) -> T:
        """The result of the client's ``call``, tried again inside its deadline."""
        return (attempts or self._attempts()).run(name, call, self._errors)

    # --- writing ---------------------------------------------------------------------

    def resume(self, partial: Partial, epoch: int) -> Partial:
        """What a late writer puts carries another token (an ETag, a block's id, a checksum) than
        the part that was recorded, and ``commit`` names the recorded ones."""
        if self.list_parts(partial) is None:
            raise upload_is_gone()
        return but(partial, spec=but(partial.spec, epoch=epoch))

    def put_object(
        self, spec: ObjectSpec, data: memoryview, *, sha256: str, replace: bool
    ) -> Published:
        refuse_root(spec.key)
        attempts = self._before_publishing(spec.key, replace=replace)
        published = self._put(spec, data, sha256, attempts, replace=replace)
        return but(published, may_land_again=attempts.ambiguous)

    def _before_publishing(self, key: str, *, replace: bool) -> Attempts:
        """The deadline of a publishing call, once the name is seen to be free where it may not be
        replaced."""
        attempts = Attempts.of_publishing(self.conf.storage_timeout)
        if not replace:
            with suppress(NotFound):
                self._head(key, attempts)
                raise Exists
            attempts.unanswered = 0  # to look changes nothing, whatever its tries came to
        return attempts

    def _publish(
        self, spec: ObjectSpec, attempts: Attempts, call: Callable[[], Published]
    ) -> Published:
        """The result of the publishing ``call``, or what became of it where it got no answer."""
        try:
            return call()
        except SecureDropError as exc:
            return self._settle(spec, exc, attempts)

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
        return self._published(key, upload_id, self._attempts())

    def _published(self, key: str, upload_id: str, attempts: Attempts) -> Published | None:
        try:
            found = self._head(key, attempts)
        except NotFound:
            return None
        if found.metadata.get(META_UPLOAD_ID) != upload_id:
            return None
        return Published(key, found.size, found.etag)

    def sweep(self, keep: Callable[[str], bool], *, older_than: datetime) -> int:
        """Where no mark names an unfinished upload any more, the service itself drops its parts
        within a week."""
        dead = self._marks.dead(keep, older_than)
        for upload_id in dead:
            self._marks.unmark(upload_id, listed=True)
        return len(dead)

    # --- reading ---------------------------------------------------------------------

    def read(self, entry: Entry, offset: int, length: int) -> bytes:
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
            raise type(exc)(f"{self._in_words}: {exc}") from exc
