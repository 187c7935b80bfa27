"""A new upload: whether it may begin, and under which name.

Overwrite policies: ``reject`` refuses a name that is taken; ``replace`` leaves the old file where
it is until the new one is verified, and lets accounts that may not overwrite replace their own
alone (:mod:`~securedrop_ftp.intake.replacing`); ``version``
takes ``name (1).ext`` and so on.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice, repeat
from typing import Final
from uuid import uuid4

from securedrop_ftp.exceptions import UploadBusy
from securedrop_ftp.intake import ledger, moves
from securedrop_ftp.intake.attempt import Attempt, Base
from securedrop_ftp.intake.context import IntakeContext
from securedrop_ftp.intake.digest import new_digest
from securedrop_ftp.intake.directories import require_above
from securedrop_ftp.intake.ledger import Claim
from securedrop_ftp.intake.names import file_exists, free_numbers, name_taken, nth
from securedrop_ftp.intake.opening import MustSettle, NameTaken, Opened, Opening, Wish, open_row
from securedrop_ftp.intake.request import UploadRequest
from securedrop_ftp.intake.steps import step
from securedrop_ftp.intake.terms import Terms
from securedrop_ftp.models import OverwritePolicy, Upload, UploadState
from securedrop_ftp.storage.confined import ConfinedStorage
from securedrop_ftp.storage.protocol import Backend

#: Rounds of settling, fencing and renaming before a client is asked to try again.
_ROUNDS: Final = 20

#: Looks at each version's name: the first may settle what a crash left there.
_LOOKS: Final = 2


class Admission:
    """Turns a request for a new upload into an :class:`Attempt`. Blocks; runs in the pool."""

    def __init__(self, context: IntakeContext) -> None:
        self._context = context
        self._book = context.ledger

    def admit(
        self,
        request: UploadRequest,
        terms: Terms,
        backend: ConfinedStorage,
        base: Base | None = None,
    ) -> Attempt:
        """A new upload on these terms. ``base``: the file that it replaces and begins with.

        Raises:
            SecureDropError: refused; nothing was written.
        """
        require_above(request.principal, backend, request.key)
        exists = file_exists(backend, request.key)
        for number, key in self._candidates(request, terms, backend, exists=exists):
            row = self._row(request, terms, backend, key)
            row.appends_to = base.upload_id if base is not None else None
            step("admitted.before")
            match self._open(row, request, terms, backend, exists=exists and number == 0):
                case MustSettle(other):
                    self._settle(other, row)
                case NameTaken():
                    continue  # the next name, or another look at this one
                case Opened(recent=True) if name_taken(backend, key):
                    self._book.run(partial(moves.forget, Claim(row.pk, row.epoch)))
                case Opened() as opened:
                    step("admitted.after")
                    return _attempt(request, terms, backend, row, opened)
        raise UploadBusy

    def _candidates(
        self, request: UploadRequest, terms: Terms, backend: Backend, *, exists: bool
    ) -> Iterator[tuple[int, str]]:
        """(number, key) to try, number 0 being the name itself; under ``version`` a name that
        is taken is passed over."""
        if terms.policy != OverwritePolicy.VERSION:
            yield from repeat((0, request.key), _ROUNDS)
            return
        free = free_numbers(lambda n: (n == 0 and exists) or self._is_taken(request, backend, n))
        for number in islice(free, _ROUNDS):
            yield from repeat((number, nth(request.key, number)), _LOOKS)

    def _is_taken(self, request: UploadRequest, backend: Backend, number: int) -> bool:
        key = nth(request.key, number)
        reserved = Upload.objects.filter(
            storage=request.principal.storage, key=key, state=UploadState.SUSPENDED
        ).exclude(account_id=request.principal.account_id)
        return (number > 0 and name_taken(backend, key)) or reserved.exists()

    def _open(
        self, row: Upload, request: UploadRequest, terms: Terms, backend: Backend, *, exists: bool
    ) -> Opening:
        wish = Wish(
            row,
            exists=exists,
            replace=terms.replace,
            replace_own=terms.replace_own,
            resumable=backend.capabilities.resumable,
            window=request.principal.resume_window,
            door=request.door,
        )
        opening = self._book.begin(partial(open_row, wish), row.pk, row.epoch)
        for fenced in opening.fenced:
            self._context.fence(fenced.row, backend, kept=fenced.kept)
        return opening

    def _settle(self, old: Upload, row: Upload) -> None:
        try:
            self._context.recovery.settle(old)
        except UploadBusy:
            # Another's that may still land; under ``version`` there are other names. Our own
            # account's waits: the same file would be stored twice.
            if row.policy != OverwritePolicy.VERSION or old.account_id == row.account_id:
                raise

    def _row(self, request: UploadRequest, terms: Terms, backend: Backend, key: str) -> Upload:
        principal = request.principal
        return Upload(
            id=uuid4(),  # random: it tells nothing and collides with nothing
            partner_id=principal.partner_id,
            account_id=principal.account_id,
            username=principal.username,
            session=request.session,
            remote_ip=request.remote_ip or None,
            storage=principal.storage,
            backend=backend.name,
            key=key,
            path=request.path,
            policy=terms.policy,
            replaces=terms.replace,
            owner=self._book.owner,
            node=self._book.node,
            lease_until=self._book.lease_end(),
            part_size=terms.sizes.first,
            digest_source="stream",
            converted=request.converted,
        )


def _attempt(
    request: UploadRequest, terms: Terms, backend: Backend, row: Upload, opened: Opened
) -> Attempt:
    return Attempt(
        request=request,
        terms=terms,
        upload_id=row.pk,
        epoch=row.epoch,
        backend=backend,
        path=ledger.stored_path(row),
        key=row.key,
        digest=new_digest(),
        unconfirmed=opened.unconfirmed,
        supersedes=opened.supersedes,
    )
