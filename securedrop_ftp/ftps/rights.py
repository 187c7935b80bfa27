"""What an account may do with what it sees: the ``perm`` fact (RFC 3659 §7.5.5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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
    stored_here: whether this session stored the file of a key: what ``rename_own`` is for.
    """

    principal: Principal
    stored_here: Callable[[str], bool]

    def letters(self, entry: Entry) -> str:
        """The value of the fact."""
        if entry.is_dir:
            return self._of_directory(entry)
        return self._of_unfinished() if isinstance(entry, Unfinished) else self._of_file(entry)

    def _of_directory(self, entry: Entry) -> str:
        may = self.principal.may
        given = "e" + "".join(letter for letter, by in _DIRECTORY if any(map(may, by)))
        if f"{entry.key}/" == self.principal.root:
            given = "".join(letter for letter in given if letter not in _NOT_OF_THE_TOP)
        return given

    def _of_file(self, entry: Entry) -> str:
        """Never ``a``: a finished file is not appended to."""
        may = self.principal.may
        renamed = may(_P.RENAME) or (may(_P.RENAME_OWN) and self.stored_here(entry.key))
        letters = (
            ("d", may(_P.DELETE)),
            ("f", renamed),
            ("r", may(_P.DOWNLOAD)),
            ("w", self._takes_the_name_again()),
        )
        return "".join(letter for letter, given in letters if given)

    def _takes_the_name_again(self) -> bool:
        may, policy = self.principal.may, self.principal.overwrite
        if policy == OverwritePolicy.REPLACE:
            return may(_P.UPLOAD) and may(_P.OVERWRITE)
        return policy == OverwritePolicy.VERSION and may(_P.UPLOAD)  # under a numbered name

    def _of_unfinished(self) -> str:
        """APPE goes on, DELE discards, STOR begins anew. Only who may resume sees it."""
        return "adw" if self.principal.may(_P.UPLOAD) else "d"
