"""The facts of one upload attempt: what was admitted, on which terms, and its events."""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass, field
from uuid import UUID, uuid5

from securedrop_ftp.events import Event
from securedrop_ftp.exceptions import SecureDropError
from securedrop_ftp.intake.digest import Digest
from securedrop_ftp.intake.request import UploadRequest
from securedrop_ftp.intake.terms import Terms
from securedrop_ftp.storage.protocol import (
    META_ACCOUNT,
    META_PARTNER,
    META_UPLOAD_ID,
    Backend,
    Entry,
    ObjectSpec,
    Part,
    Partial,
)


def ending_id(upload_id: UUID, epoch: int) -> UUID:
    """The id of the audit row that ends an attempt, for those who may both come to write it: who
    refused it because the database did not answer, and who later finds its ledger row."""
    return uuid5(upload_id, f"end of epoch {epoch}")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it, and to which path: the columns that all rows of an attempt share."""

    partner: str
    account: str
    remote_ip: str
    session: str
    path: str
    partner_id: int | None = None

    def event(
        self,
        name: str,
        *,
        outcome: str = "failure",
        size: int | None = None,
        sha256: str = "",
        reason: str = "",
        reply: str = "",
    ) -> Event:
        """An event of this attempt."""
        return Event(
            name,
            outcome=outcome,
            partner=self.partner,
            partner_id=self.partner_id,
            account=self.account,
            remote_ip=self.remote_ip,
            session=self.session,
            path=self.path,
            size=size,
            sha256=sha256,
            reason=reason,
            reply=reply,
        )


def reason_of(cause: BaseException) -> str:
    """A failure as a short text for the ledger and the audit row: what it is, and what it says.
    Of a door's own failure only what it says."""
    if not isinstance(cause, SecureDropError):
        return f"{type(cause).__name__}: {cause}"[:255]
    behind = f" ({type(cause.__cause__).__name__})" if cause.__cause__ is not None else ""
    kind = "" if cause.kind == SecureDropError.__name__ else f"{cause.kind}: "
    return f"{kind}{cause}{behind}"[:255]


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """An earlier attempt at the same path that was committed without its client being told."""

    upload_id: str
    key: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Base:
    """The finished file to which an upload is appended: the upload that stored it, and what storage
    told of it."""

    upload_id: UUID
    sha256: str
    entry: Entry
    state: bytes | None = field(default=None, repr=False)  # SHA-256's at its end


@dataclass(frozen=True, slots=True)
class Attempt:
    """An admitted upload. ``path`` and ``key`` are those it is stored under; ``digest`` is
    ``None`` where the bytes so far have no digest and the object must be read back.

    ``base``: what it is appended to. Its bytes are in ``parts``, and the last of them, which fill
    no part, in ``carried`` until a buffer has them; ``digest`` knows them all already."""

    request: UploadRequest
    terms: Terms
    upload_id: UUID
    epoch: int
    backend: Backend
    path: str
    key: str
    digest: Digest | None
    digest_source: str = "stream"
    parts: tuple[Part, ...] = ()
    partial: Partial | None = None
    joined_at: int | None = None
    base: Base | None = None
    carried: bytearray = field(default_factory=bytearray, repr=False)
    unconfirmed: tuple[Unconfirmed, ...] = ()
    supersedes: bool = True  # the account may have suspended uploads of the path

    @property
    def actor(self) -> Actor:
        """Who uploads, as the events name it."""
        principal = self.request.principal
        return Actor(
            partner=principal.partner,
            partner_id=principal.partner_id,
            account=principal.username,
            remote_ip=self.request.remote_ip,
            session=self.request.session,
            path=self.path,
        )

    @property
    def version_of(self) -> str:
        """The path that the client named, where a numbered one was taken."""
        return self.request.path if self.request.path != self.path else ""

    @property
    def spec(self) -> ObjectSpec:
        """What is to be published."""
        principal = self.request.principal
        return object_spec(
            self.key, self.upload_id, self.epoch, principal.partner, principal.username
        )


def object_spec(key: str, upload_id: UUID, epoch: int, partner: str, account: str) -> ObjectSpec:
    """The object as storage is to hold it, with our marks on it."""
    return ObjectSpec(
        key=key,
        upload_id=str(upload_id),
        epoch=epoch,
        content_type=mimetypes.guess_type(key, strict=False)[0] or "application/octet-stream",
        metadata={
            META_UPLOAD_ID: str(upload_id),
            META_PARTNER: partner,
            META_ACCOUNT: account,
        },
    )
