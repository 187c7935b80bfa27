"""Which of a name's spellings is meant: the one that came, NFC, NFD, in this order, as storage has.

macOS sends é as two characters (NFD), most others as one (NFC). A name that is not there as it came
is looked for in its other spellings, each directory on the way as well; where none is there, the
name is new, and new names are stored in NFC. So nobody makes a second file whose name looks the
same, and what operators' tools or earlier versions stored in NFD is found by either spelling.

Blocks. A name with one spelling (ASCII, most scripts without accents) costs nothing here.
"""

from __future__ import annotations

from securedrop_ftp import keys
from securedrop_ftp.exceptions import BadName, NotADirectory, NotFound, OutsidePrefix
from securedrop_ftp.storage.protocol import Backend


def found(storage: Backend, root: str, path: str) -> str:
    """The path of a name that is not there as it came: as storage has it, or as it would be new.
    One look for each spelling and for each directory that is not there as it came."""
    if not keys.has_spellings(path):
        return path
    return _looked_for(storage, root, path)[0]


def of_existing(storage: Backend, root: str, path: str) -> str:
    """The path of what is there, else as it came is looked at first: one look more than
    :func:`found`."""
    if not keys.has_spellings(path) or _is_there(storage, root, path):
        return path
    return found(storage, root, path)


def of_new(storage: Backend, root: str, path: str) -> str:
    """The path that an upload, a directory or a rename's target gets: that of what has the name
    already, in whatever spelling, else NFC."""
    if not keys.has_spellings(path):
        return path
    above, _, name = path.rpartition("/")
    directory, there = _directory(storage, root, above)
    new = f"{directory}/{keys.composed(name)}"
    for spelled in keys.spellings(name) if there else ():
        other = f"{directory}/{spelled}"
        if other != new and _is_there(storage, root, other):
            return new if other != path and _is_there(storage, root, new) else other
    return new


def in_nfc(path: str) -> str:
    """The path with its last name as a new one is spelled."""
    above, slash, name = path.rpartition("/")
    return f"{above}{slash}{keys.composed(name)}"


def _looked_for(storage: Backend, root: str, path: str) -> tuple[str, bool]:
    """(path, whether it is there) of one that is not there as it came."""
    above, _, name = path.rpartition("/")
    directory, there = _directory(storage, root, above)
    for spelled in keys.spellings(name) if there else ():
        other = f"{directory}/{spelled}"
        if other != path and _is_there(storage, root, other):
            return other, True
    return f"{directory}/{keys.composed(name)}", False


def _directory(storage: Backend, root: str, path: str) -> tuple[str, bool]:
    if not keys.has_spellings(path) or _is_there(storage, root, path):
        return path, True
    return _looked_for(storage, root, path)


def _is_there(storage: Backend, root: str, path: str) -> bool:
    """A spelling that is too long for a name is nowhere."""
    try:
        storage.stat(keys.key_for(root, path))
    except OutsidePrefix:
        raise
    except (NotFound, NotADirectory, BadName):
        return False
    return True
