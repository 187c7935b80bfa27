"""Suspended uploads as their owner sees them.

An interrupted upload keeps its whole parts for ``resume_window`` seconds. Its owner (the account,
on the same storage and path) sees it with its durable length and a time of now, where no finished
file has that name; clients compare both (lftp ``mirror -c`` resumes only what is newer than its
source).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from django.db.models import DateTimeField, F, Q, QuerySet

from securedrop_ftp import clock, keys
from securedrop_ftp.access.principal import Principal
from securedrop_ftp.intake import spelling, takeover
from securedrop_ftp.intake.context import IntakeContext
from securedrop_ftp.intake.durable import durable_parts, from_json, length_of
from securedrop_ftp.intake.held import forget_parts
from securedrop_ftp.intake.owners import gone
from securedrop_ftp.models import Upload, UploadState
from securedrop_ftp.models.upload import LIVE
from securedrop_ftp.prepared import Given, Select
from securedrop_ftp.storage.protocol import Part


@dataclass(frozen=True, slots=True)
class Suspended:
    """An interrupted upload as its owner sees it. ``length`` is the durable one, bytes; ``started``
    is when it began, ``modified`` is now.

    ``ending``: a living writer has it still. Where its client asks for it, its connection most
    likely is lost, and nobody has noticed yet; or it is being published. ``length`` may be 0 then.
    """

    upload_id: str
    path: str
    key: str
    length: int
    modified: datetime
    started: datetime
    ending: bool = False


def parts_of(row: Upload) -> list[Part]:
    """The parts below the row's durable length; none of what was converted on its way: where in the
    client's file they end is not known. None of what was appended: its file is as it was."""
    if row.converted or row.appends_to:
        return []
    return durable_parts(from_json(row.parts), row.received)


# Asked with every listing, and with SIZE of a name that is not there; hardly ever is there one. An
# account may have a million uploads, of which SQLite would look at each: ``+ 0`` keeps it from the
# account's index, and of these states there are few.
_UNFINISHED = Select(
    lambda: (
        Upload.objects.annotate(whose=F("account_id") + 0)
        .filter(
            whose=Given("account"),
            state__in=(UploadState.SUSPENDED, *LIVE),
            updated__gt=Given("since", DateTimeField()),
        )
        .order_by()
        .values_list("pk")[:1]
    )
)


def _oldest_kept(principal: Principal) -> datetime:
    return clock.now() - timedelta(seconds=principal.resume_window)


def _has_unfinished(principal: Principal) -> bool:
    """Whether any upload of the account could be gone on with."""
    since = _oldest_kept(principal)
    return bool(_UNFINISHED.rows(account=principal.account_id, since=since))


class SuspendedUploads:
    """Blocks; runs in the pool."""

    def __init__(self, context: IntakeContext) -> None:
        self._context = context
        self._book = context.ledger

    def rows(
        self, principal: Principal, states: Sequence[str] = (UploadState.SUSPENDED,)
    ) -> QuerySet[Upload]:
        """The account's own of the resume window, where this node can see their parts; the newest
        first."""
        rows = Upload.objects.filter(
            account_id=principal.account_id,
            storage=principal.storage,
            state__in=states,
            updated__gt=_oldest_kept(principal),
        )
        capabilities = self._context.storage(principal).capabilities
        if capabilities.node_bound:
            rows = rows.filter(node=self._book.node)
        return rows.select_related("partner").order_by("-updated")

    def at(self, principal: Principal, path: str) -> Suspended | None:
        """The principal's own suspended upload at a path, in whatever spelling. Blocks."""
        found = self.at_or_ending(principal, path)
        if found is None and keys.has_spellings(path) and _has_unfinished(principal):
            other = spelling.found(self._context.storage(principal), principal.root, path)
            found = self.at_or_ending(principal, other) if other != path else None
        return None if found is None or found.ending else found

    def at_or_ending(self, principal: Principal, path: str) -> Suspended | None:
        """The same; where there is none, one that a living writer has, as far as storage has its
        parts. Who looks changes nothing. Blocks."""
        if not _has_unfinished(principal):
            return None
        row = self.rows(principal).filter(path=path).first()
        if row is not None:
            return self._seen(row)
        left = next(iter(self._left_by_the_dead(principal, path=path)), None)
        return left or self._ending(principal, path)

    def _ending(self, principal: Principal, path: str) -> Suspended | None:
        """One that is being published, by who lives, has no length yet: it will be whole or
        nothing. Where its outcome is pending nobody is about to end it."""
        live = self.rows(principal, LIVE).filter(path=path)
        row = live.filter(Q(converted=False) | Q(state=UploadState.PUBLISHING)).first()
        if row is None or row.owner in gone({row.owner}):
            return None
        length = 0
        if row.state == UploadState.PUBLISHING:
            if row.lease_until is None or row.lease_until <= clock.now():
                return None
        elif not self._context.storage(principal).capabilities.resumable:
            return None
        elif row.resume_token:
            length = length_of(parts_of(row))
        return Suspended(str(row.pk), path, row.key, length, clock.now(), row.started, ending=True)

    def _left_by_the_dead(self, principal: Principal, **where: str) -> list[Suspended]:
        """Uploads whose writer died and that nobody has settled yet: their length is known, and
        who looks changes nothing. Who goes on with one takes it over."""
        if not self._context.storage(principal).capabilities.resumable:
            return []
        live = list(self.rows(principal, (UploadState.RECEIVING,)).filter(**where))
        dead = gone({row.owner for row in live}) if live else set()
        left = [self._seen(row) for row in live if row.owner in dead and row.resume_token]
        return [suspended for suspended in left if suspended is not None]

    def under(self, principal: Principal, directory: str) -> list[Suspended]:
        """The principal's own suspended uploads directly in a directory, the newest of each
        path. Blocks."""
        if not _has_unfinished(principal):
            return []
        start = directory.rstrip("/") + "/"
        rows = self.rows(principal).filter(path__startswith=start)
        of_rows = [seen for row in rows if (seen := self._seen(row)) is not None]
        found: dict[str, Suspended] = {}
        for seen in [*of_rows, *self._left_by_the_dead(principal, path__startswith=start)]:
            if "/" not in seen.path[len(start) :] and seen.path.startswith(start):
                found.setdefault(seen.path, seen)
        return list(found.values())

    @staticmethod
    def _seen(row: Upload) -> Suspended | None:
        length = length_of(parts_of(row))
        if not length:
            return None
        return Suspended(str(row.pk), row.path, row.key, length, clock.now(), row.started)

    def discard(self, principal: Principal, path: str) -> bool:
        """Discard the owner's suspended uploads of the path; whether there was one. Blocks."""
        backend = self._context.storage(principal)
        found = False
        for row in self.rows(principal).filter(path=path):
            job = partial(takeover.discard_suspended, row, "discarded by its owner")
            if self._book.run(job):
                found = True
                forget_parts(row, backend)
        return found
