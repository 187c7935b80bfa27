"""What the argument of LIST, NLST or STAT means: options of ``ls``, a name, or a pattern.

Neither options nor patterns are RFC 959's, but clients send both. A name that is there wins: a
directory called ``-report`` is listed, and so is a file called ``data[1].csv``.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from securedrop_ftp import keys, replies
from securedrop_ftp.exceptions import BadName, NotADirectory, NotFound
from securedrop_ftp.ftps import suspended
from securedrop_ftp.ftps.answers import Refused
from securedrop_ftp.ftps.logged_in import LoggedIn
from securedrop_ftp.ftps.patterns import Pattern, is_pattern
from securedrop_ftp.storage.protocol import Entry

_OPTION: Final = re.compile(r"-[A-Za-z0-9]+|--[a-z-]*(?:=[^ ]*)?")

#: Options of one command that are looked for as directories; each costs a look into storage.
MAX_LOOKS: Final = 3

#: Entries handed on at once.
PAGE: Final = 1000

#: Entries that are sorted before the first is sent. Larger directories come in storage's order
#: (S3, Google and Azure sort by themselves), so that a listing holds a bounded part in memory.
SORTED: Final = 10_000

#: Seconds that sorting may keep the client waiting: a generic storage asks once or twice for each
#: file.
SORTING: Final = 2.0


@dataclass(frozen=True, slots=True)
class Listed:
    """Attributes:
    path: the absolute FTP path of the directory, or of the one thing named.
    given: the argument without its options.
    pattern: which names of the directory are meant; ``None``: all.
    """

    path: str
    given: str
    pattern: Pattern | None = None


def meant(session: LoggedIn, argument: str) -> Listed:
    """What an argument means now. Raises BadName."""
    given = _without_options(session, argument)
    path = session.fs.resolve(given)
    directory, _, name = path.rpartition("/")
    # In the last name only: a pattern never walks through directories.
    if is_pattern(name) and _found(session, path) is None:
        directory = session.fs.spelled(directory or "/")
        return Listed(directory, given, Pattern(keys.composed(name)))
    return Listed(session.fs.spelled(path), given)


def _without_options(session: LoggedIn, argument: str) -> str:
    looks = 0
    while argument.startswith("-"):
        word, _, rest = argument.partition(" ")
        if not _OPTION.fullmatch(word):
            break
        looks += 1
        found = _found(session, argument) if looks <= MAX_LOOKS else None
        if found is not None and found.is_dir:
            break
        argument = rest.lstrip(" ")
        if word == "--":
            break
    return argument


def _found(session: LoggedIn, argument: str) -> Entry | None:
    try:
        return session.fs.stat(session.fs.resolve(argument))
    except (NotFound, NotADirectory, BadName):
        return None


def pages_of(session: LoggedIn, listed: Listed) -> Iterator[list[Entry]]:
    """A blocking iterator over what is listed, the account's own suspended uploads among it."""
    own = suspended.under(session, listed.path)
    pages = suspended.merged(session, _pages(session, listed), own)
    return in_order(pages if listed.pattern is None else _fitting(pages, listed.pattern))


def _pages(session: LoggedIn, listed: Listed) -> Iterator[list[Entry]]:
    """Blocking: a directory's pages, or the one file that the path names."""
    try:
        yield from session.fs.pages(listed.path)
    except NotADirectory:
        if listed.pattern is None:
            yield [session.fs.storage.stat(session.fs.key(listed.path))]


def _fitting(pages: Iterator[list[Entry]], pattern: Pattern) -> Iterator[list[Entry]]:
    any_fits = False
    for page in pages:
        fitting = [entry for entry in page if pattern.matches(keys.composed(entry.name))]
        any_fits = any_fits or bool(fitting)
        yield fitting
    if not any_fits:
        raise Refused(replies.NO_SUCH_FILE.but("No files found."))


def in_order(pages: Iterator[list[Entry]]) -> Iterator[list[Entry]]:
    """Blocking: by name, up to :data:`SORTED` entries and :data:`SORTING` seconds; what is beyond
    them follows as it comes."""
    until = time.monotonic() + SORTING
    first: list[Entry] = []
    for page in pages:
        first += page
        if len(first) >= SORTED or time.monotonic() > until:
            break
    first.sort(key=lambda entry: entry.name)
    entries = iter(first)
    del first
    while page := list(islice(entries, PAGE)):
        yield page
    yield from pages


def names_to_send_back(
    session: LoggedIn, listed: Listed, entries: Iterable[Entry]
) -> Iterator[str]:
    """Names that RETR takes from the same working directory (RFC 1123 §4.1.2.7)."""
    fs = session.fs
    one = fs.key(listed.path)
    before = _before(fs.cwd, listed)
    for entry in entries:
        yield listed.given if entry.key == one else before + entry.name


def _before(cwd: str, listed: Listed) -> str:
    if listed.pattern is not None:
        head, slash, _ = listed.given.rpartition("/")
        return head + slash
    if listed.path == cwd:
        return ""
    return listed.given if listed.given.endswith("/") else listed.given + "/"
