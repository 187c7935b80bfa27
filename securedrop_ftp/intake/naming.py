"""Renames and deletions, from any door: a ledger row from before the first request until the last.

The order is the write-ahead rule (invariants 9 and 10):

1. the claim on the names is committed, then live uploads and other changes at them are looked for;
2. what is there is looked at, and policy decides;
3. the ledger says ``moving``;
4. storage renames or deletes; one that copies says so in between (``copied``);
5. the ledger's names follow, with the audit row, in one transaction, and the claim is gone;
6. only then is anybody told.

Where a request gets no answer the claim stays: the client is told that the outcome is pending, and
recovery settles it (:mod:`~securedrop_ftp.intake.naming_recovery`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Final, Protocol
from uuid import uuid4

from securedrop_ftp import clock, keys
from securedrop_ftp.access.principal import Principal
from securedrop_ftp.events import Event
from securedrop_ftp.exceptions import (
    DatabaseUnavailable,
    Exists,
    IsADirectory,
    LeaseLost,
    LedgerUnavailable,
    NameBusy,
    NotADirectory,
    NotFound,
    OutcomeUnknown,
    SecureDropError,
    StorageError,
)
from securedrop_ftp.intake import name_changes, spelling, stored_names
from securedrop_ftp.intake.attempt import reason_of
from securedrop_ftp.intake.context import IntakeContext
from securedrop_ftp.intake.directories import require_above
from securedrop_ftp.intake.kept_directories import root_of
from securedrop_ftp.intake.names import free_numbers, name_taken, nth
from securedrop_ftp.intake.replacing import may_replace
from securedrop_ftp.intake.steps import step
from securedrop_ftp.intake.stored_names import Name
from securedrop_ftp.models import (
    NameChange,
    NameChangeKind,
    NameChangeState,
    OverwritePolicy,
    Upload,
)
from securedrop_ftp.signals import emit
from securedrop_ftp.storage.protocol import Backend, Entry

#: Free numbers that are tried under ``version``.
_NUMBERS: Final = 20
#: Looks at a name at which an upload stands whose writer is gone.
_LOOKS: Final = 2


@dataclass(frozen=True, slots=True)
class NameRequest:
    """What a client asks for.

    Attributes:
        path: the FTP path of what is changed, as the client named it.
        key: where that is; under ``version`` it may have a number.
        target_path, target_key: of a rename.
        event: the audit row of the act, with who asks and from where.
        pending: what the client is told where the outcome stays open, one line.
    """

    principal: Principal
    path: str
    key: str
    event: Event
    pending: str
    target_path: str = ""
    target_key: str = ""


@dataclass(frozen=True, slots=True)
class Renamed:
    """A rename that is done. ``version_of``: the path that the client named, if a numbered name was
    taken instead, else ``""``."""

    path: str
    key: str
    version_of: str = ""


class Told(Protocol):
    """Words what the client is told of a rename; called in any thread, and never fails."""

    def __call__(self, renamed: Renamed) -> str: ...


class Naming:
    """Blocks; runs in the storage pool."""

    def __init__(self, context: IntakeContext) -> None:
        self._context = context
        self._book = context.ledger

    # --- renames -----------------------------------------------------------------------

    def rename(self, request: NameRequest, told: Told) -> Renamed:
        """Rename a file or a directory as an upload of its target would be stored: ``reject`` keeps
        what has the name, ``replace`` needs the permission to overwrite or a target of the
        account's own, ``version`` takes a numbered name. The audit row is written.

        Raises:
            NotFound, Exists, IsADirectory, NotADirectory, NoDirectory, BadName: nothing was
                changed, and no row was written.
            NameBusy: somebody else is at one of the names, likewise.
            DatabaseUnavailable: likewise.
            OutcomeUnknown: it may be done; recovery settles it and writes the row.
        """
        backend = self._context.storage(request.principal)
        found = backend.stat(request.key)
        request = self._spelled(request, backend)
        if request.key == request.target_key:
            return self._same_name(request, told)
        if request.target_key.rpartition("/")[0] != request.key.rpartition("/")[0]:
            require_above(request.principal, backend, request.target_key)
        failure: SecureDropError = NameBusy()
        for number in self._numbers(request, backend, found):
            try:
                return self._rename_to(request, backend, found, number, told)
            except (Exists, NameBusy) as exc:
                if isinstance(exc, NameBusy) and exc.key == request.key:
                    raise  # another number would not help
                failure = exc
        raise failure

    @staticmethod
    def _spelled(request: NameRequest, backend: Backend) -> NameRequest:
        """The target in the spelling of what has the name; a new name is NFC, and so is the new
        one of what was stored under another spelling of it."""
        root, path = request.principal.root, request.target_path
        if not keys.has_spellings(path):
            return request
        path = spelling.of_new(backend, root, path)
        if keys.key_for(root, path) == request.key:
            path = spelling.in_nfc(path)
        return replace(request, target_path=path, target_key=keys.key_for(root, path))

    def _same_name(self, request: NameRequest, told: Told) -> Renamed:
        renamed = Renamed(request.target_path, request.key)
        event = request.event.but(reply=told(renamed))
        try:
            self._book.run(partial(emit, event))
        except LedgerUnavailable as exc:
            raise DatabaseUnavailable from exc
        return renamed

    def _numbers(self, request: NameRequest, backend: Backend, found: Entry) -> Iterator[int]:
        """Numbers of names to try, 0 being the name itself."""
        versions = request.principal.overwrite == OverwritePolicy.VERSION and not found.is_dir
        if not versions:
            yield 0
            return
        yield from islice(free_numbers(partial(self._is_taken, request, backend)), _NUMBERS)

    @staticmethod
    def _is_taken(request: NameRequest, backend: Backend, number: int) -> bool:
        """By a file or a directory, an upload that is on its way, or another account's suspended
        one, as for uploads."""
        name = Name(request.principal.storage, nth(request.target_key, number))
        return name_taken(backend, name.key) or stored_names.is_awaited(
            name, request.principal.account_id
        )

    def _rename_to(
        self, request: NameRequest, backend: Backend, found: Entry, number: int, told: Told
    ) -> Renamed:
        key, path = nth(request.target_key, number), nth(request.target_path, number)
        change = self._new(request, NameChangeKind.RENAME, directory=found.is_dir)
        change.target, change.target_path = key, request.target_path
        renamed = Renamed(path, key, request.target_path if number else "")
        replaces = False

        def look() -> None:
            nonlocal replaces
            name = Name(change.storage, key)
            replaces = not found.is_dir and may_replace(request.principal, name)
            self._look_at_source(change, backend)
            self._look_at_target(change, backend, replaces=replaces)

        def move() -> None:
            backend.rename(
                change.source, key, replace=replaces, copied=partial(self._note_copied, change)
            )

        def outcome() -> Event:
            return request.event.but(
                path=f"{request.path} -> {path}",
                reply=told(renamed),
                details=name_changes.details_of(change),
            )

        self._carry_out(change, request, look, move, outcome)
        return renamed

    def _look_at_target(self, change: NameChange, backend: Backend, *, replaces: bool) -> None:
        try:
            there = backend.stat(change.target)
        except NotFound:
            return
        if there.is_dir and not change.directory:
            raise IsADirectory
        if not replaces:
            raise Exists
        change.target_etag = there.etag or "there"

    def _note_copied(self, change: NameChange) -> None:
        step("rename.copied")
        self._book.run(partial(name_changes.mark_copied, change))
        step("rename.recorded")

    # --- deletions ---------------------------------------------------------------------

    def delete(self, request: NameRequest, told: str) -> None:
        """Delete a file. The audit row is written. Raises as :meth:`rename` does."""
        backend = self._context.storage(request.principal)
        if backend.stat(request.key).is_dir:
            raise IsADirectory
        change = self._new(request, NameChangeKind.DELETE)

        def outcome() -> Event:
            return request.event.but(reply=told, details=name_changes.details_of(change))

        self._carry_out(
            change,
            request,
            partial(self._look_at_source, change, backend),
            partial(backend.delete, change.source),
            outcome,
        )

    def remove_directory(self, request: NameRequest, told: str) -> str:
        """Remove an empty directory; its path, in the spelling that it had. The audit row is
        written.

        Raises:
            NotEmpty, NotADirectory: nothing was changed.
            NameBusy: likewise; an upload into it is on its way.
            SecureDropError: as :meth:`rename` does.
        """
        root, backend = request.principal.root, self._context.storage(request.principal)
        path = spelling.of_existing(backend, root, request.path)
        request = replace(request, path=path, key=keys.key_for(root, path))
        if not backend.stat(request.key).is_dir:
            raise NotADirectory
        change = self._new(request, NameChangeKind.DELETE, directory=True)

        def outcome() -> Event:
            details = name_changes.details_of(change)
            return request.event.but(path=path, reply=told, details=details)

        self._carry_out(
            change,
            request,
            partial(self._look_at_source, change, backend),
            partial(backend.rmdir, change.source),
            outcome,
        )
        return path

    # --- all ---------------------------------------------------------------------------

    def _new(
        self, request: NameRequest, kind: NameChangeKind, *, directory: bool = False
    ) -> NameChange:
        principal, now = request.principal, self._now()
        return NameChange(
            id=uuid4(),
            kind=kind,
            partner_id=principal.partner_id,
            account_id=principal.account_id or None,  # an operator has none
            username=principal.username,
            session=request.event.session,
            remote_ip=request.event.remote_ip or None,
            storage=principal.storage,
            source=request.key,
            source_path=request.path,
            directory=directory,
            owner=self._book.owner,
            lease_until=now + self._book.lease,
            started=now,
            updated=now,
        )

    def _now(self) -> datetime:
        return clock.now()

    def _look_at_source(self, change: NameChange, backend: Backend) -> None:
        """Now that nobody else changes it. Raises NotFound, NameBusy."""
        if backend.stat(change.source).is_dir != change.directory:
            raise NameBusy(key=change.source)
        if not change.directory:
            holder = self._holder(Name(change.storage, change.source))
            change.upload_id = holder.pk if holder is not None else None

    def _holder(self, name: Name) -> Upload | None:
        return stored_names.holder(name)

    def _carry_out(
        self,
        change: NameChange,
        request: NameRequest,
        look: Callable[[], None],
        ask_storage: Callable[[], None],
        outcome: Callable[[], Event],
    ) -> None:
        versions = request.principal.overwrite == OverwritePolicy.VERSION
        self._claim(change, yields=versions)
        with self._taken_back(change):
            look()
        step(f"{change.kind}.claimed")
        with self._taken_back(change):
            self._book.run(partial(name_changes.mark_moving, change))
        step(f"{change.kind}.moving")
        try:
            ask_storage()
        except SecureDropError as exc:
            if _is_known(exc) and change.state != NameChangeState.COPIED:
                self._take_back(change)
                raise
            raise self._pending(change, request, exc) from exc
        except Exception as exc:
            raise self._pending(change, request, exc) from exc
        step(f"{change.kind}.done")
        storage = self._context.storage(request.principal)
        self._finish(change, outcome(), root_of(storage, request.principal.root))
        step(f"{change.kind}.told")

    def _claim(self, change: NameChange, *, yields: bool) -> None:
        with self._taken_back(change):
            self._book.run(partial(name_changes.claim, change))
            for _ in range(_LOOKS):
                look = partial(name_changes.standing_against, change, yields=yields)
                standing = self._book.run(look)
                if not standing:
                    return
                self._settle(change, standing)
            raise NameBusy

    def _settle(self, change: NameChange, standing: list[Upload]) -> None:
        """Uploads whose writer is gone do not keep a name. Raises NameBusy."""
        now = self._now()
        for row in standing:
            if row.lease_until is not None and row.lease_until > now:
                raise NameBusy(key=name_changes.key_at(change, row))
            self._context.recovery.settle(row)

    @contextmanager
    def _taken_back(self, change: NameChange) -> Iterator[None]:
        """What fails before storage was asked leaves no claim."""
        try:
            yield
        except Exception as exc:
            self._take_back(change)
            if isinstance(exc, LedgerUnavailable):
                raise DatabaseUnavailable from exc
            raise

    def _take_back(self, change: NameChange) -> None:
        self._context.unsettled.leave(partial(name_changes.forget, change))

    def _finish(self, change: NameChange, event: Event, root: str | None) -> None:
        job = partial(name_changes.finish, change, event, root)
        try:
            self._book.run(job)
        except LedgerUnavailable as exc:
            self._context.unsettled.leave(job)
            raise OutcomeUnknown(reason_of(exc)) from exc

    def _pending(
        self, change: NameChange, request: NameRequest, cause: Exception
    ) -> OutcomeUnknown:
        """The claim stays; whoever comes first may settle it."""
        told = request.pending
        self._context.unsettled.leave(partial(name_changes.expire_lease, change, told))
        return OutcomeUnknown(reason_of(cause))


def _is_known(failure: SecureDropError) -> bool:
    """Whether a failure says that storage changed nothing, and will not."""
    open_ends = (OutcomeUnknown, LedgerUnavailable, LeaseLost)
    transient = isinstance(failure, StorageError) and failure.transient
    return not (transient or isinstance(failure, open_ends))
