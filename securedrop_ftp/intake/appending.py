"""Appending to a finished file: for partners that are let, under ``replace`` alone.

A client that writes a file in blocks (APPE, or REST at its end and STOR) makes a whole new version
of it with each: an upload of its own that begins with the bytes of the file and replaces it. So
whatever holds of uploads holds of it: verified before it is published, one writer, one row, and
consumers see the old file or the new one. It is never suspended: the file itself is what is there
to go on with.

The old bytes become parts: copied inside storage where that can copy (S3, from 5 MiB on), else read
and sent again. What fills no part goes in front of the first bytes that come. Where all of them are
read their digest is compared with the ledger's; where they are copied the digest goes on from the
state that was kept when the file was committed, and they are read once if there is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import Final

from securedrop_ftp import clock
from securedrop_ftp.conf import MIB
from securedrop_ftp.exceptions import (
    AppendedAlready,
    AppendedFileChanged,
    LeaseLost,
    NotAtTheEnd,
    NotFound,
    TooLarge,
    TooManyAppends,
)
from securedrop_ftp.intake import held, moves, stored_names, tokens
from securedrop_ftp.intake.admission import Admission
from securedrop_ftp.intake.attempt import Attempt, Base, reason_of
from securedrop_ftp.intake.context import IntakeContext
from securedrop_ftp.intake.digest import Digest, new_digest, restore_digest
from securedrop_ftp.intake.durable import length_of, unpack_states
from securedrop_ftp.intake.ledger import Claim
from securedrop_ftp.intake.pipeline import as_known
from securedrop_ftp.intake.request import UploadRequest
from securedrop_ftp.intake.resume import Refused
from securedrop_ftp.intake.steps import step
from securedrop_ftp.intake.stored_names import Name
from securedrop_ftp.intake.suspended import SuspendedUploads
from securedrop_ftp.intake.terms import Terms
from securedrop_ftp.models import Upload, UploadState
from securedrop_ftp.storage.confined import ConfinedStorage
from securedrop_ftp.storage.protocol import META_UPLOAD_ID, Part, Partial

#: How often a file is appended to in :data:`WITHIN`: each time costs storage the whole of it.
APPENDS: Final = 20
WITHIN: Final = timedelta(hours=24)

#: Bytes of a part that is copied, and parts that are copied before the ledger hears of them.
COPIED: Final = 128 * MIB
AT_ONCE: Final = 8
_READ: Final = 8 * MIB


class Appending:
    """Blocks; runs in the storage pool."""

    def __init__(
        self, context: IntakeContext, admission: Admission, suspended: SuspendedUploads
    ) -> None:
        self._context = context
        self._book = context.ledger
        self._admission = admission
        self._suspended = suspended

    def base(self, request: UploadRequest, backend: ConfinedStorage) -> Base | None:
        """The account's own finished file that the request appends to; ``None``: there is none, or
        it means another upload.

        Raises:
            NotAtTheEnd: the client named another offset than its length.
            AppendedAlready: it has what the client sent last, and the client was not told.
            TooManyAppends: once more would be too often.
        """
        principal, key = request.principal, request.key
        if not principal.append:
            return None
        row = stored_names.holder(Name(principal.storage, key))
        if row is None or row.account_id != principal.account_id:
            return None
        try:
            entry = backend.stat(key)
        except NotFound:
            return None
        if entry.is_dir or entry.size != row.size:
            return None
        if request.offset not in (None, entry.size):
            kept = self._suspended.at(principal, request.path)
            if kept is not None and kept.length == request.offset:
                return None  # an interrupted upload that was to replace it
            raise NotAtTheEnd(durable=entry.size)
        if request.offset is None and row.unconfirmed and row.appends_to:
            self._book.run(partial(_confirm, row))
            raise AppendedAlready(durable=entry.size)
        if _appends(principal.storage, key) >= APPENDS:
            raise TooManyAppends
        state = unpack_states(row.digest_state).get(entry.size)
        return Base(row.pk, row.sha256, entry, state)

    def admit(
        self, request: UploadRequest, terms: Terms, backend: ConfinedStorage, base: Base
    ) -> Attempt:
        """An upload that begins with the file.

        Raises:
            AppendedFileChanged: it is another file than the ledger knows.
            Refused: it failed after it had begun; its audit row is written.
        """
        size = base.entry.size
        if terms.limit is not None and size + (request.least or 0) > terms.limit:
            raise TooLarge(f"the file would be larger than {terms.limit} bytes", limit=terms.limit)
        self._context.space.refuse(backend, size)
        terms = replace(terms, keeps_parts=False)
        attempt = self._admission.admit(request, terms, backend, base)
        attempt = replace(attempt, base=base, joined_at=size, unconfirmed=())
        taking = _Taking(attempt, base, self._context)
        try:
            return taking.run()
        except Exception as exc:
            raise self._undo(attempt, taking.partial, exc) from exc

    def _undo(self, attempt: Attempt, begun: Partial | None, exc: Exception) -> Refused:
        cause = as_known(exc)
        event = attempt.actor.event(
            "upload.aborted",
            size=attempt.joined_at,
            reason=reason_of(cause),
            reply=attempt.request.door.refused(cause),
        )
        claim = Claim(attempt.upload_id, attempt.epoch)
        self._context.unsettled.leave(partial(moves.mark_aborted, claim, event))
        held.discard(begun, attempt.backend, attempt.upload_id)
        return Refused(cause)


def _confirm(row: Upload) -> None:
    Upload.objects.filter(pk=row.pk).update(unconfirmed=False)


def _appends(storage: str, key: str) -> int:
    """How often the name was appended to lately."""
    rows = Upload.objects.filter(
        storage=storage,
        key=key,
        state=UploadState.COMMITTED,
        appends_to__isnull=False,
        finished__gt=clock.now() - WITHIN,
    )
    return rows.count()


@dataclass(slots=True)
class _Taking:
    """The bytes of the file become the beginning of the upload.

    Attributes:
        partial: what storage calls the unfinished object, where it has begun one.
    """

    attempt: Attempt
    base: Base
    context: IntakeContext
    partial: Partial | None = None

    def run(self) -> Attempt:
        """The attempt, with the parts and the digest of what it has by now."""
        parts: list[Part] = []
        size = self.base.entry.size
        copies = self.attempt.backend.capabilities.copies_parts
        if copies and size >= self.attempt.backend.capabilities.min_part_size:
            digest, source = self._digest_of_copied()
            for batch in _batches(_copied_parts(size)):
                parts += self._copied(batch)
                self._record(parts)
            carried = bytearray()
        else:
            digest, source = new_digest(), "readback"
            for part in _sent_parts(self.attempt.terms, size):
                data = self._read(part.offset, part.size)
                digest.update(data)
                parts.append(self._sent(part, data))
                self._record(parts)
            carried = bytearray(self._read(length_of(parts), size - length_of(parts)))
            digest.update(bytes(carried))
            self._compare(digest)
        return replace(
            self.attempt,
            digest=digest,
            digest_source=source,
            parts=tuple(parts),
            partial=self.partial,
            carried=carried,
        )

    def _digest_of_copied(self) -> tuple[Digest, str]:
        base = self.base
        if base.entry.metadata.get(META_UPLOAD_ID) != str(base.upload_id):
            raise AppendedFileChanged
        kept = restore_digest(base.state) if base.state is not None else None
        if kept is not None:
            return kept, "midstate"
        digest = new_digest()
        for offset in range(0, base.entry.size, _READ):
            digest.update(self._read(offset, min(_READ, base.entry.size - offset)))
            self._keep_lease()
        self._compare(digest)
        return digest, "readback"

    def _compare(self, digest: Digest) -> None:
        if digest.hexdigest() != self.base.sha256:
            raise AppendedFileChanged

    def _read(self, offset: int, length: int) -> bytes:
        if not length:
            return b""
        try:
            data = self.attempt.backend.read(self.base.entry, offset, length)
        except NotFound:
            raise AppendedFileChanged from None
        if len(data) != length:
            raise AppendedFileChanged
        return data

    def _begun(self) -> Partial:
        if self.partial is None:
            step("begin.before")
            self.partial = self.attempt.backend.begin(self.attempt.spec)
            step("begin.after")
            self._record([])  # at once: whoever cleans up after us must know of it
        return self.partial

    def _copied(self, parts: Sequence[Part]) -> list[Part]:
        begun = self._begun()
        step("part.before")
        copied = self.context.storage(self.attempt.request.principal).copy_parts(
            begun, self.base.entry, parts
        )
        step("part.after")
        return copied

    def _sent(self, part: Part, data: bytes) -> Part:
        begun, backend = self._begun(), self.attempt.backend
        step("part.before")
        with self.context.space.taking(backend, part.size):
            sent = backend.put_part(begun, part.number, part.offset, memoryview(data))
        step("part.after")
        return sent

    def _record(self, parts: Sequence[Part]) -> None:
        assert self.partial is not None
        claim, book = Claim(self.attempt.upload_id, self.attempt.epoch), self.context.ledger
        job = partial(
            moves.record_parts,
            claim,
            parts,
            received=length_of(parts),
            states=None,
            sealed=tokens.seal(self.partial.token),
        )
        if not book.run(job):
            raise LeaseLost
        self._keep_lease()
        step("part.recorded")

    def _keep_lease(self) -> None:
        """The heartbeat does not know of it yet."""
        claim, book = Claim(self.attempt.upload_id, self.attempt.epoch), self.context.ledger
        if book.run(partial(moves.extend_leases, book.owner, [claim], book.lease_end())):
            raise LeaseLost


def _copied_parts(size: int) -> list[Part]:
    """All of it in parts of nearly one size, none smaller than the smallest that may be."""
    count = max(1, min(-(-size // COPIED), 5_000))
    ends = [size * number // count for number in range(count + 1)]
    return [
        Part(number, start, stop - start)
        for number, (start, stop) in enumerate(pairwise(ends), start=1)
    ]


def _batches(parts: Sequence[Part]) -> Iterator[Sequence[Part]]:
    for start in range(0, len(parts), AT_ONCE):
        yield parts[start : start + AT_ONCE]


def _sent_parts(terms: Terms, size: int) -> Iterator[Part]:
    """Parts that fit into memory; the rest of it is smaller than the smallest of them."""
    sizes, offset, number = terms.sizes, 0, 1
    while size - offset >= sizes.piece:
        length = min(sizes.at(offset), sizes.in_memory)
        length = length if length <= size - offset else sizes.piece
        yield Part(number, offset, length)
        offset, number = offset + length, number + 1
