"""The intake: uploads from any door (FTPS, HTTPS) into storage, by way of the ledger.

One :class:`Intake` per worker process, made after the fork. :meth:`Intake.begin` admits an upload
and hands out its :class:`~securedrop_ftp.intake.stream.UploadStream`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from uuid import UUID, uuid4

from securedrop_ftp import audit, keys
from securedrop_ftp.access.principal import Principal
from securedrop_ftp.conf import Conf
from securedrop_ftp.db import DatabaseWriter, release_connection, renew_connections
from securedrop_ftp.disk import is_full
from securedrop_ftp.exceptions import (
    AuditUnavailable,
    LedgerFull,
    LedgerUnavailable,
    SecureDropError,
    StorageError,
    UploadNotBegun,
)
from securedrop_ftp.intake import moves, name_changes, spelling, steps
from securedrop_ftp.intake.admission import Admission
from securedrop_ftp.intake.appending import Appending
from securedrop_ftp.intake.attempt import Actor, Attempt, reason_of
from securedrop_ftp.intake.context import IntakeContext
from securedrop_ftp.intake.directories import Directories
from securedrop_ftp.intake.meaning import Meaning
from securedrop_ftp.intake.naming import Naming
from securedrop_ftp.intake.pipeline import as_known
from securedrop_ftp.intake.receipt import Receipt
from securedrop_ftp.intake.request import UploadRequest
from securedrop_ftp.intake.resume import Refused, Resumption
from securedrop_ftp.intake.stream import UploadStream
from securedrop_ftp.intake.suspended import Suspended, SuspendedUploads
from securedrop_ftp.intake.terms import Terms
from securedrop_ftp.log import get_logger
from securedrop_ftp.signals import emit
from securedrop_ftp.storage.confined import ConfinedStorage
from securedrop_ftp.storage.protocol import Backend

__all__ = ["Intake", "Receipt", "Suspended", "UploadRequest", "UploadStream"]

logger = get_logger(__name__)

#: Seconds that a refusal waits for its audit row or its line in the spool.
RECORD_TIMEOUT = 30.0


class Intake:
    """See the module's docstring.

    Args:
        submit: ``submit(partner_name, job)`` runs ``job`` in the storage pool; never blocks.
        writer: the process's database writer; ``None`` in commands.
        owner: ``node:service:boot:worker``, this process in the ledger.
    """

    def __init__(
        self,
        conf: Conf,
        *,
        submit: Callable[[str, Callable[[], None]], None],
        writer: DatabaseWriter | None,
        backend_for: Callable[[str], Backend],
        owner: str,
    ) -> None:
        self._context = IntakeContext(
            conf, submit=submit, writer=writer, backend_for=backend_for, owner=owner
        )
        self._writer = writer
        self._admission = Admission(self._context)
        self._suspended = SuspendedUploads(self._context)
        self._appending = Appending(self._context, self._admission, self._suspended)
        self._resumption = Resumption(self._context, self._suspended)
        #: What names mean, and how they are changed.
        self.meaning = Meaning(self._context, self._suspended)
        self.naming = Naming(self._context)
        self.directories = Directories(self._context)
        self.ledger = self._context.ledger
        self.budget = self._context.budget
        self.unsettled = self._context.unsettled
        self.recovery = self._context.recovery
        if conf.fault_step:
            steps.arm(conf.fault_step)

    def take_limits(self, conf: Conf) -> None:
        """Take the sizes and the memory of a reload, for uploads that begin."""
        self._context.take_limits(conf)

    # --- uploads ---------------------------------------------------------------------

    def begin(self, request: UploadRequest) -> UploadStream:
        """Admit an upload: the ledger row is written. Blocks.

        Raises:
            SecureDropError: refused; the audit row ``upload.rejected`` is written.
        """
        try:
            attempt = self._admit(request)
        except Refused as refused:
            raise refused.cause from refused.cause.__cause__
        except LedgerUnavailable as exc:
            cause = LedgerFull() if is_full(exc) else UploadNotBegun()
            self._reject(request, cause, exc.ending_id)
            raise cause from exc.__cause__
        except Exception as exc:
            known = as_known(exc)
            if known is not exc:
                logger.error("upload.admission_failed", exc_info=exc)
            self._reject(request, known)
            raise known from known.__cause__
        stream = UploadStream(attempt, self._context)
        self._context.live.add(stream)
        return stream

    def _admit(self, request: UploadRequest) -> Attempt:
        self.unsettled.retry()  # it may be the retry of an upload that waits there
        backend = self._context.storage(request.principal)
        request = self._spelled(request, backend)
        self._context.space.refuse(backend, 0 if request.offset else request.least or 0)
        terms = Terms.of(request, backend.capabilities, self._context.conf)
        if request.goes_on:
            base = self._appending.base(request, backend)
            if base is not None:
                return self._appending.admit(request, terms, backend, base)
            attempt = self._resumption.resume(request, terms, backend)
            if attempt is not None:
                return attempt
        return self._admission.admit(request, terms, backend)

    def _spelled(self, request: UploadRequest, backend: ConfinedStorage) -> UploadRequest:
        """In the spelling of what has the name; a new name is NFC."""
        principal, path = request.principal, request.path
        if not keys.has_spellings(path):
            return request
        if request.goes_on and self._suspended.at_or_ending(principal, path) is not None:
            return request
        path = spelling.of_new(backend, principal.root, path)
        return replace(request, path=path, key=keys.key_for(principal.root, path))

    def _reject(
        self, request: UploadRequest, cause: SecureDropError, event_id: UUID | None = None
    ) -> None:
        principal = request.principal
        event = (
            Actor(
                partner=principal.partner,
                partner_id=principal.partner_id,
                account=principal.username,
                remote_ip=request.remote_ip,
                session=request.session,
                path=request.path,
            )
            .event(
                "upload.rejected",
                outcome="failure"
                if isinstance(cause, StorageError) and cause.transient
                else "denied",
                size=request.announced,
                reason=reason_of(cause),
                reply=request.door.refused(cause),
            )
            .but(event_id=event_id or uuid4())
        )
        if self._writer is None:
            self.unsettled.leave(partial(emit, event))
            return
        # A row, or a line on the disk where the database is away: the reply comes after it, and a
        # crash right behind the reply loses nothing.
        release_connection()
        with suppress(AuditUnavailable):  # the log has the whole event
            audit.record_within(self._writer, event, RECORD_TIMEOUT)

    # --- suspended uploads, for the doors' listings -------------------------------

    def suspended_for(self, principal: Principal, path: str) -> Suspended | None:
        """The principal's own suspended upload at a path. Blocks."""
        return self._suspended.at(principal, path)

    def suspended_under(self, principal: Principal, directory: str) -> list[Suspended]:
        """The principal's own suspended uploads directly in a directory. Blocks."""
        return self._suspended.under(principal, directory)

    def discard_suspended(self, principal: Principal, path: str) -> bool:
        """The owner discards it: whether there was one. Blocks; writes no audit row of its own."""
        return self._suspended.discard(principal, path)

    # --- life ------------------------------------------------------------------------

    def heartbeat(self) -> None:
        """Extend our leases, retry what the database did not take, and settle a few rows whose
        owner is gone. Blocks; call it every third of ``lease_seconds``."""
        renew_connections()
        self.unsettled.retry()
        live = self._context.live
        if claims := live.claims():
            job = partial(moves.extend_leases, self.ledger.owner, claims, self.ledger.lease_end())
            for upload_id in self.ledger.run(job):
                live.lose(upload_id)
        if name_changes.any_of(self.ledger.owner):
            extend = partial(name_changes.extend_leases, self.ledger.owner, self.ledger.lease_end())
            self.ledger.run(extend)
        self.recovery.settle_expired(limit=20)

    @property
    def live(self) -> int:
        """Uploads in progress, commits included."""
        return len(self._context.live)
