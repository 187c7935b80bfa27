"""An account's own interrupted uploads, as its client sees them (docs/explanation/uploads.md).

Where no finished file has the name, the durable length stands in SIZE, MLST, LIST and MLSD, so that
clients go on from there. What else a name means is :mod:`securedrop_ftp.intake.meaning`'s to say.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Final

from securedrop_ftp.exceptions import IsADirectory, NotFound
from securedrop_ftp.ftps.logged_in import LoggedIn
from securedrop_ftp.ftps.rights import Unfinished
from securedrop_ftp.intake.service import Suspended
from securedrop_ftp.models import Permission
from securedrop_ftp.storage.protocol import Entry

#: Seconds for which SIZE, MDTM and MLST wait for an own upload that is about to end, and between
#: two looks.
END_AWAITED: Final = 3.0
END_LOOKED_FOR_EVERY: Final = 0.1


def as_entry(suspended: Suspended) -> Unfinished:
    """A suspended upload as an entry of a listing."""
    return Unfinished(
        suspended.key, is_dir=False, size=suspended.length, modified=suspended.modified
    )


def _told(session: LoggedIn, path: str, found: Suspended) -> Entry:
    # APPE names no offset: it goes on only if this is still the length when it comes.
    session.told_lengths[path] = found.length
    return as_entry(found)


def stat(session: LoggedIn, path: str) -> Entry:
    """What SIZE, MDTM and STAT tell of a path. Raises NotFound."""
    return seen(session, path)[1]


def seen(session: LoggedIn, path: str) -> tuple[str, Entry]:
    """What MLST tells of a path, behind its path in the spelling that it has. Where an own upload
    is about to end (its client was cut off, and is back before that was noticed), it waits for
    that. Raises NotFound."""
    meaning = session.runtime.intake.meaning
    meant = session.storage(meaning.seen_unless_ending, session.principal, path)
    if meant.suspended is not None and meant.suspended.ending:
        _wait_for_the_end(session, meant.path, meant.suspended.length)
        meant = session.storage(meaning.seen, session.principal, path)
    if meant.suspended is None:
        session.told_lengths.pop(path, None)
        return meant.path, meant.entry
    return meant.path, _told(session, path, meant.suspended)


def _wait_for_the_end(session: LoggedIn, path: str, length: int) -> None:
    """Until it has ended, or has gone on: its client was not cut off then. Between two looks at
    the ledger the verb sleeps, and no thread waits."""
    look = session.runtime.intake.meaning.length_before_its_end
    latest = time.monotonic() + END_AWAITED
    while (now := time.monotonic()) < latest:
        session.offload.sleep_until(min(now + END_LOOKED_FOR_EVERY, latest))
        if session.accounts(look, session.principal, path) != length:
            return


def stat_file(session: LoggedIn, path: str) -> Entry:
    """What SIZE and MDTM tell of a file. Raises NotFound, IsADirectory."""
    entry = stat(session, path)
    if entry.is_dir:
        raise IsADirectory
    return entry


def under(session: LoggedIn, directory: str) -> list[Suspended]:
    """The account's own suspended uploads directly in a directory."""
    if not session.may(Permission.RESUME):
        return []
    found: Iterable[Suspended] = session.accounts(
        session.runtime.intake.suspended_under, session.principal, directory
    )
    return list(found)


def merged(
    session: LoggedIn, pages: Iterator[list[Entry]], suspended: list[Suspended]
) -> Iterator[list[Entry]]:
    """Blocking: a directory's pages, then the suspended uploads whose name no finished file has."""
    left = {upload.key: upload for upload in suspended}
    try:
        for page in pages:
            for entry in page:
                if (hidden := left.pop(entry.key, None)) is not None:
                    session.told_lengths.pop(hidden.path, None)
            yield page
    except NotFound:
        if not left:
            raise
    if left:
        yield [_told(session, upload.path, upload) for upload in left.values()]


def discard(session: LoggedIn, path: str) -> str:
    """Discard the account's own suspended upload at a path (DELE): its path, ``""`` where there was
    none."""
    if not session.may(Permission.RESUME):
        return ""
    intake = session.runtime.intake
    found = session.storage(intake.suspended_for, session.principal, path)
    if found is None:
        return ""
    gone = session.storage(intake.discard_suspended, session.principal, found.path)
    return found.path if gone else ""
