"""An account's own interrupted uploads, as its client sees them (docs/explanation/uploads.md).

Where no finished file has the name, the durable length stands in SIZE, MLST, LIST and MLSD, so that
clients go on from there. Under the ``version`` policy (so in drop mode) SIZE and MLST answer for
suspended uploads only: a finished file of the same name is another delivery, and a client that took
it for its own would send nothing and call that success.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from securedrop_ftp.exceptions import IsADirectory, NotFound
from securedrop_ftp.ftps.logged_in import LoggedIn
from securedrop_ftp.ftps.rights import Unfinished
from securedrop_ftp.intake.service import Suspended
from securedrop_ftp.models import OverwritePolicy, Permission
from securedrop_ftp.storage.protocol import Entry


def as_entry(suspended: Suspended) -> Unfinished:
    """A suspended upload as an entry of a listing."""
    return Unfinished(
        suspended.key, is_dir=False, size=suspended.length, modified=suspended.modified
    )


def find(session: LoggedIn, path: str) -> Entry | None:
    """The account's own suspended upload at a path; ``None``: there is none."""
    if not session.may(Permission.RESUME):
        return None
    found = session.accounts(session.runtime.intake.suspended_for, session.principal, path)
    if found is not None:
        # APPE names no offset: it goes on only if this is still the length when it comes.
        session.told_lengths[path] = found.length
    return as_entry(found) if found is not None else None


def stat(session: LoggedIn, path: str) -> Entry:
    """What SIZE, MDTM and MLST tell of a path. Raises NotFound."""
    hidden = session.principal.overwrite == OverwritePolicy.VERSION or not session.may(
        Permission.LIST
    )
    try:
        entry = session.fs.stat(path)
    except NotFound:
        entry = None
    if entry is not None and (entry.is_dir or not hidden):
        return entry
    suspended = find(session, path)
    if suspended is None:
        raise NotFound
    return suspended


def stat_file(session: LoggedIn, path: str) -> Entry:
    """What SIZE and MDTM tell of a file. Raises NotFound, IsADirectory."""
    entry = stat(session, path)
    if entry.is_dir:
        raise IsADirectory
    return entry


def under(session: LoggedIn, directory: str) -> list[Entry]:
    """The account's own suspended uploads directly in a directory."""
    if not session.may(Permission.RESUME):
        return []
    found: Iterable[Suspended] = session.accounts(
        session.runtime.intake.suspended_under, session.principal, directory
    )
    return [as_entry(suspended) for suspended in found]


def merged(pages: Iterator[list[Entry]], suspended: list[Entry]) -> Iterator[list[Entry]]:
    """Blocking: a directory's pages, then the suspended uploads whose name no finished file has."""
    left = {entry.key: entry for entry in suspended}
    try:
        for page in pages:
            for entry in page:
                left.pop(entry.key, None)
            yield page
    except NotFound:
        if not left:
            raise
    if left:
        yield list(left.values())


def discard(session: LoggedIn, path: str) -> bool:
    """Discard the account's own suspended upload at a path (DELE); whether there was one."""
    gone: bool = session.storage(session.runtime.intake.discard_suspended, session.principal, path)
    return gone
