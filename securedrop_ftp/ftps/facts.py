"""How an entry looks in LIST, NLST and MLSx (RFC 3659 §7)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final

from securedrop_ftp.ftps.rights import Rights
from securedrop_ftp.storage.protocol import Entry

#: The facts we know, in the order in which we send them.
FACTS: Final = ("type", "size", "modify", "perm")

Render = Callable[[Iterable[Entry]], bytes]

_MONTHS: Final = [
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
]
_HALF_A_YEAR: Final = 180 * 86400


def timestamp(moment: datetime) -> str:
    """``YYYYMMDDHHMMSS`` in UTC (RFC 3659 §2.3)."""
    return moment.astimezone(UTC).strftime("%Y%m%d%H%M%S")


def name_lines(names: Iterable[str]) -> bytes:
    """The lines of NLST: a name each."""
    return "".join(f"{name}\r\n" for name in names).encode()


def list_lines(entries: Iterable[Entry]) -> bytes:
    """The look of ``ls -l``, which every client parses."""
    now = datetime.now(UTC)
    return "".join(_list_line(entry, now) for entry in entries).encode()


def _list_line(entry: Entry, now: datetime) -> str:
    mode = "drwxr-x---" if entry.is_dir else "-rw-r-----"
    modified = (entry.modified or now).astimezone(UTC)
    recent = 0 <= (now - modified).total_seconds() + 86400 < _HALF_A_YEAR
    when = modified.strftime("%H:%M") if recent else f"{modified.year:5d}"
    month = _MONTHS[modified.month - 1]
    return (
        f"{mode}   1 partner  partner  {entry.size:>12d} "
        f"{month} {modified.day:02d} {when} {entry.name}\r\n"
    )


def facts_of(entry: Entry, wanted: Iterable[str], rights: Rights) -> str:
    """``fact=value;`` for each wanted fact that the entry has."""
    values = {
        "type": "dir" if entry.is_dir else "file",
        "size": "" if entry.is_dir else str(entry.size),
        "modify": timestamp(entry.modified) if entry.modified else "",
        "perm": rights.letters(entry),
    }
    return "".join(f"{name}={values[name]};" for name in wanted if values[name])


def mlsd_lines(wanted: Iterable[str], rights: Rights) -> Render:
    """A renderer of MLSD lines with these facts."""
    names = tuple(wanted)

    def render(entries: Iterable[Entry]) -> bytes:
        return "".join(f"{facts_of(e, names, rights)} {e.name}\r\n" for e in entries).encode()

    return render
