"""Settling renames and deletions whose process ended, or whose request got no answer.

Storage is asked. What is done is written down as done; what is not is undone, but not before what
was asked of storage can no longer be carried out: a late copy or deletion would hit what others
have meanwhile stored under the name.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from securedrop_ftp import clock
from securedrop_ftp.conf import Conf
from securedrop_ftp.exceptions import NotFound, SecureDropError
from securedrop_ftp.intake import name_changes
from securedrop_ftp.intake.kept_directories import confined, root_of
from securedrop_ftp.intake.ledger import Ledger
from securedrop_ftp.intake.owners import node_of
from securedrop_ftp.log import get_logger
from securedrop_ftp.models import NameChange, NameChangeKind, NameChangeState
from securedrop_ftp.storage.protocol import Backend

logger = get_logger(__name__)


class NamingRecovery:
    """Needs no event loop and no pool."""

    def __init__(self, book: Ledger, backend_for: Callable[[str], Backend], conf: Conf) -> None:
        self._book = book
        self._backend_for = backend_for
        self._conf = conf

    def recover(self, owner_is_dead: Callable[[str], bool]) -> dict[str, int]:
        """Settle the changes of dead owners and of expired leases; how many ended how."""
        counts: dict[str, int] = {}
        now = clock.now()
        for change in NameChange.objects.select_related("partner").order_by("started"):
            if change.lease_until <= now or owner_is_dead(change.owner):
                outcome = self._try_to_settle(change)
                counts[outcome] = counts.get(outcome, 0) + 1
        return counts

    def settle_expired(self, limit: int) -> None:
        """Settle changes whose lease has run out, whoever had them; a few at a time."""
        for change in name_changes.expired(limit):
            self._try_to_settle(change)

    def _try_to_settle(self, change: NameChange) -> str:
        try:
            return self.settle(change)
        except SecureDropError as exc:
            logger.warning("name_change.not_settled", change=str(change.pk), cause=str(exc))
        except Exception as exc:
            logger.error("name_change.settling_failed", change=str(change.pk), exc_info=exc)
        return "pending"

    def settle(self, change: NameChange) -> str:
        """What became of it: done, undone, ``pending`` (not yet), or taken by somebody else.

        Raises:
            StorageError: storage does not tell; the row is as it was.
            LedgerUnavailable: the database did not take it.
        """
        backend = confined(self._backend_for(change.storage), change.partner.prefix, change.storage)
        if self._only_its_node_can_tell(change, backend):
            return "pending"
        until = clock.now() + timedelta(seconds=self._conf.operation_timeout)
        take = partial(name_changes.take_over, change, self._book.owner, until)
        if not self._book.run(take):
            return "taken by another"
        try:
            done = self._is_done(change, backend)
        except BaseException:
            self._book.run(partial(name_changes.expire_lease, change, change.told))
            raise
        if done is None:
            self._book.run(partial(name_changes.expire_lease, change, change.told))
            return "pending"
        event = name_changes.event_of(change)
        if done:
            event = event.but(reason="settled by recovery: storage has done it")
            root = root_of(backend, change.partner.prefix)
            settled = self._book.run(partial(name_changes.finish, change, event, root))
            return f"{change.kind} done" if settled else "taken by another"
        event = event.but(outcome="failure", reason="its server process ended; nothing was changed")
        settled = self._book.run(partial(name_changes.undo, change, event))
        return f"{change.kind} undone" if settled else "taken by another"

    def _is_done(self, change: NameChange, backend: Backend) -> bool | None:
        """``None``: it is not, and may still be."""
        if change.state == NameChangeState.CLAIMED:
            return False
        over = self._is_over(change, backend)
        if change.kind == NameChangeKind.RENAME:
            done = backend.settle_rename(
                change.source,
                change.target,
                copied=change.state == NameChangeState.COPIED,
                target_etag=change.target_etag,
                undo=over,
            )
            return True if done else (False if over else None)
        try:
            backend.stat(change.source)
        except NotFound:
            return True
        return False if over else None

    def _is_over(self, change: NameChange, backend: Backend) -> bool:
        """Whether what was asked of storage can no longer be carried out."""
        last = change.updated + timedelta(seconds=self._conf.operation_timeout)
        return not backend.capabilities.lands_late or clock.now() >= last

    def _only_its_node_can_tell(self, change: NameChange, backend: Backend) -> bool:
        """The disk of another machine: what is not visible here may be there."""
        if not backend.capabilities.node_bound or node_of(change.owner) == self._book.node:
            return False
        return not any(_is_there(backend, key) for key in change.keys)


def _is_there(backend: Backend, key: str) -> bool:
    try:
        backend.stat(key)
    except NotFound:
        return False
    return True
