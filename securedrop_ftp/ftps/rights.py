"""What an account may do with what it sees: the ``perm`` fact (RFC 3659 §7.5.5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from securedrop_ftp.access.principal import Principal
from securedrop_ftp.models import OverwritePolicy, Permission
from securedrop_ftp.storage.protocol import Entry

_P = Permission

#: Letters of a directory, and what gives them. ``e`` is everybody's.
_DIRECTORY: Final = (
    ("c", (_P.UPLOAD,)),
    ("d", (_P.RMDIR,)),
    ("f", (_P.RENAME,)),
    ("l", (_P.LIST,)),
    ("m", (_P.MKDIR,)),
    ("p", (_P.DELETE, _P.RMDIR)),
)
#: RMD and RNFR never take the top.
_NOT_OF_THE_TOP: Final = frozenset("df")


@dataclass(frozen=True, slots=True)
class Unfinished(Entry):
    """A suspended upload of the account's own: there is no file yet, but one may go on with it."""


@dataclass(frozen=True, slots=True)
class Rights:
    """Attributes:
    principal: who asks.
    stored_here: whether the account stored the file of a key lately: what ``rename_own`` is for.
    own: whether the account stored it at any time: what it may replace without ``overwrite``, and
        append to where that is allowed.
    """

    principal: Principal
    stored_here: Callable[[str], bool]
    own: Callable[[str], bool]

    def letters(self, entry: Entry) -> str:
        """The value of the fact."""
        if entry.is_dir:
            return self._of_directory(entry)
        return self._of_unfinished() if isinstance(entry, Unfinished) else self._of_file(entry)

    def _of_directory(self, entry: Entry) -> str:
        letters = _directory_letters(self.principal.permissions)
        if f"{entry.key}/" == self.principal.root:
            letters = "".join(letter for letter in letters if letter not in _NOT_OF_THE_TOP)
        return letters

    def _of_file(self, entry: Entry) -> str:
        principal = self.principal
        renamed = principal.may(_P.RENAME) or (
            principal.may(_P.RENAME_OWN) and self.stored_here(entry.key)
        )
        own = self.own(entry.key)
        replaced = principal.may(_P.OVERWRITE) or own
        letters = _file_letters(principal.permissions, principal.overwrite, renamed, replaced)
        appends = principal.append and own and principal.may(_P.UPLOAD) and principal.may(_P.RESUME)
        return f"a{letters}" if appends else letters

    def _of_unfinished(self) -> str:
        """APPE goes on, DELE discards, STOR begins anew. Only who may resume sees it."""
        return "adw" if self.principal.may(_P.UPLOAD) else "d"


# The same for all entries of a listing.
@lru_cache
def _directory_letters(permissions: frozenset[Permission]) -> str:
    return "e" + "".join(letter for letter, by in _DIRECTORY if permissions.intersection(by))


@lru_cache
def _file_letters(
    permissions: frozenset[Permission],
    overwrite: OverwritePolicy,
    renamed: bool,
    replaced: bool,
) -> str:
    """All but ``a``."""
    letters = (
        ("d", _P.DELETE in permissions),
        ("f", renamed),
        ("r", _P.DOWNLOAD in permissions),
        ("w", _P.UPLOAD in permissions and _takes_the_name_again(overwrite, replaced)),
    )
    return "".join(letter for letter, given in letters if given)


def _takes_the_name_again(overwrite: OverwritePolicy, replaced: bool) -> bool:
    if overwrite == OverwritePolicy.REPLACE:
        return replaced
    return overwrite == OverwritePolicy.VERSION  # a numbered name
