"""Settling what a crash, a lost database or a silent storage left unfinished.

A live row whose owner is dead, or whose lease has run out, is settled from what storage says:

- ``receiving``: suspended if its backend holds whole parts, else aborted;
- ``publishing``: storage is asked for our upload id. Published: committed, with its audit row.
  Not published: published anew from the recorded parts, if storage still has them, else aborted;
  but not before what its writer sent last can no longer land (``storage_timeout``). A late put
  would replace what another upload of that name has meanwhile been acknowledged for.

Everything is a conditional UPDATE, so any number of processes may do it at once, and doing it
again does nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from django.db.models import Q

from securedrop_ftp import clock
from securedrop_ftp.conf import Conf
from securedrop_ftp.exceptions import (
    NotFound,
    OutcomeUnknown,
    SecureDropError,
    StorageError,
    UploadBusy,
)
from securedrop_ftp.intake import ledger, moves, sweep, takeover, tokens
from securedrop_ftp.intake.attempt import reason_of
from securedrop_ftp.intake.durable import contiguous, from_json, length_of
from securedrop_ftp.intake.held import forget_parts, partial_of
from securedrop_ftp.intake.kept_directories import confined, root_of
from securedrop_ftp.intake.ledger import Claim, Ledger
from securedrop_ftp.intake.locations import located_backend
from securedrop_ftp.intake.naming_recovery import NamingRecovery
from securedrop_ftp.intake.nesting import refuse_nested
from securedrop_ftp.intake.readback import digest_of
from securedrop_ftp.intake.receipt import Sent
from securedrop_ftp.intake.stored_names import Name
from securedrop_ftp.log import get_logger
from securedrop_ftp.models import Upload, UploadState
from securedrop_ftp.models.upload import LIVE
from securedrop_ftp.storage.parts import holds
from securedrop_ftp.storage.protocol import Backend, Part, Partial, Published

logger = get_logger(__name__)

#: Rows settled in one round.
BATCH = 200


def recovery_for_command(conf: Conf, owner: str) -> Recovery:
    """For a process without a database writer."""
    return Recovery(
        Ledger(None, owner=owner, lease_seconds=conf.lease_seconds), located_backend, conf
    )


class Recovery:
    """Needs no event loop and no pool: commands, workers and the supervisor use it."""

    def __init__(self, book: Ledger, backend_for: Callable[[str], Backend], conf: Conf) -> None:
        self._book = book
        self._backend_for = backend_for
        self._conf = conf
        self._names = NamingRecovery(book, backend_for, conf)

    # --- which rows -------------------------------------------------------------------

    def recover(self, owner_is_dead: Callable[[str], bool]) -> dict[str, int]:
        """Settle the rows of dead owners and of expired leases; of renames and deletions too.

        Returns how many ended in each state; ``pending`` could not be settled now.
        """
        counts = self._names.recover(owner_is_dead)
        silent: set[str] = set()
        rows = Upload.objects.filter(state__in=LIVE).select_related("partner")
        for row in rows.order_by("started").iterator(BATCH):
            if self._lease_over(row) or owner_is_dead(row.owner):
                outcome = self._try_to_settle(row, silent)
                counts[outcome] = counts.get(outcome, 0) + 1
        return counts

    def settle_expired(self, limit: int = BATCH) -> int:
        """Settle rows whose lease has run out, whoever had it; a few at a time. Of renames and
        deletions as well; how many uploads were settled."""
        self._names.settle_expired(limit)
        rows = Upload.objects.filter(state__in=LIVE, lease_until__lt=clock.now())
        settled = 0
        silent: set[str] = set()
        for row in rows.select_related("partner").order_by("lease_until")[:limit]:
            settled += self._try_to_settle(row, silent) != "pending"
        return settled

    def prune(self) -> sweep.Pruned:
        """Discard what is expired and sweep the storages
        (:func:`securedrop_ftp.intake.sweep.prune`)."""
        return sweep.prune(self._book, self._backend_for, self._conf)

    @staticmethod
    def _lease_over(row: Upload) -> bool:
        return row.lease_until is None or row.lease_until <= clock.now()

    def _try_to_settle(self, row: Upload, silent: set[str]) -> str:
        """A storage that does not answer is asked once a round: each of its rows could wait for
        ``storage_timeout``, and those of other storages behind them."""
        if row.storage in silent:
            return "pending"
        try:
            return self.settle(row)
        except SecureDropError as exc:
            if isinstance(exc, StorageError) and exc.transient:
                silent.add(row.storage)
            logger.warning("upload.not_settled", upload_id=str(row.pk), cause=str(exc))
        except Exception as exc:
            logger.error("upload.settling_failed", upload_id=str(row.pk), exc_info=exc)
        return "pending"

    # --- one row ----------------------------------------------------------------------

    def settle(self, row: Upload) -> str:
        """Settle one live row whose owner is gone. Returns its new state.

        Raises:
            StorageError: storage does not tell; the row is as it was.
            UploadBusy: storage does not have it yet, and may still get it.
            LedgerUnavailable: the database did not take it.
        """
        if row.state not in LIVE:
            return row.state
        backend = confined(self._backend_for(row.storage), row.partner.prefix, row.storage)
        if row.state == UploadState.RECEIVING:
            return self._retire(row, backend, "its server process ended")
        elsewhere = backend.capabilities.node_bound and row.node != self._book.node
        if elsewhere and self._only_its_node_can_tell(row, backend):
            return "pending"
        found = backend.find_published(row.key, str(row.pk))
        if found is not None:
            return self._committed(row, backend, found)
        return self._finish(row, backend)

    def _only_its_node_can_tell(self, row: Upload, backend: Backend) -> bool:
        """Parts and memory of another machine: what is not visible here may exist there."""
        if backend.find_published(row.key, str(row.pk)) is not None:
            return False  # the path is shared
        held = partial_of(row)
        return held is None or backend.list_parts(held) is None

    def _retire(self, row: Upload, backend: Backend, reason: str) -> str:
        kept = self._book.run(
            partial(
                takeover.retire,
                row,
                resumable=backend.capabilities.resumable,
                reason=reason,
                reply="",
            )
        )
        if kept is None:
            return str(self._book.run(partial(ledger.state_of, row.pk)))
        if not kept:
            forget_parts(row, backend)
        return str(UploadState.SUSPENDED if kept else UploadState.ABORTED)

    def _finish(self, row: Upload, backend: Backend) -> str:
        """Not published: publish from the recorded parts, or undo."""
        held = partial_of(row)
        parts = contiguous(from_json(row.parts))
        if held is None or not parts or length_of(parts) != row.size:
            self._wait_for_what_was_sent(row, backend)
            return self._retire(row, backend, "its server process ended before publishing")
        if not self._take(row):
            return str(self._book.run(partial(ledger.state_of, row.pk)))
        name = Name(row.storage, row.key, root_of(backend, row.partner.prefix))
        try:
            refuse_nested(name, row.pk, backend)
            published = self._publish(row, held, parts, backend)
        except UploadBusy:
            self._book.run(partial(moves.expire_lease, Claim(row.pk, row.epoch)))
            raise
        except StorageError as exc:
            if not exc.transient and not isinstance(exc, OutcomeUnknown):
                self._wait_for_what_was_sent(row, backend)
                return self._retire(row, backend, reason_of(exc))
            self._book.run(partial(moves.expire_lease, Claim(row.pk, row.epoch)))
            raise
        return self._committed(row, backend, published)

    def _wait_for_what_was_sent(self, row: Upload, backend: Backend) -> None:
        """Undoing must wait; the key stays taken, and whoever wants it asks storage again.

        Raises:
            UploadBusy: for how long.
        """
        until = row.updated + timedelta(seconds=self._conf.storage_timeout)
        left = (until - clock.now()).total_seconds()
        if not backend.capabilities.lands_late or left <= 0:
            return
        self._book.run(partial(takeover.free_lease, Claim(row.pk, row.epoch)))
        raise UploadBusy("what was sent before may still land", seconds=left)

    def _publish(
        self, row: Upload, held: Partial, parts: list[Part], backend: Backend
    ) -> Published:
        taken = backend.resume(held, row.epoch)
        row.resume_token = tokens.seal(taken.token)
        claim = Claim(row.pk, row.epoch)
        self._book.run(partial(takeover.record_token, claim, row.resume_token))
        if not holds(backend.list_parts(taken), parts, backend.capabilities):
            raise NotFound("storage does not hold its parts any more")
        return backend.commit(
            taken, parts, size=length_of(parts), sha256=row.sha256, replace=row.replaces
        )

    def _take(self, row: Upload) -> bool:
        """Make the row ours under a higher epoch, so that its late writer cannot publish."""
        epoch = row.epoch + 1
        taken = self._book.run(
            partial(
                takeover.take_over,
                Claim(row.pk, row.epoch),
                owner=self._book.owner,
                lease_until=self._book.lease_end(),
            )
        )
        if taken:
            row.epoch = epoch
        return taken

    def _committed(self, row: Upload, backend: Backend, found: Published) -> str:
        if row.size is not None and found.size != row.size:
            raise StorageError(f"storage has {found.size} bytes, the ledger {row.size}")
        sha256 = row.sha256 or digest_of(backend, found.key, found.size)
        event = ledger.actor_of(row).event(
            "upload.committed",
            outcome="success",
            size=found.size,
            sha256=sha256,
            reason="settled by recovery: storage has it",
            reply=row.reason,  # what the client was told meanwhile, if anybody told it anything
        )
        if row.sent_size is not None:
            event = event.but(details=Sent(row.sent_size, row.sent_sha256).details)
        replaced = self._book.run(
            partial(
                moves.mark_committed,
                Claim(row.pk, row.epoch),
                event,
                name=Name(row.storage, row.key, root_of(backend, row.partner.prefix)),
                unconfirmed=True,
                supersedes=Q(account_id=row.account_id, storage=row.storage, path=row.path),
            )
        )
        for old in replaced or ():
            forget_parts(old, backend)
        return str(self._book.run(partial(ledger.state_of, row.pk)))
