"""Marks: small objects of ours that name the uploads in progress.

An object store does not tell whose an unfinished upload is, and some have no list of them. So one
is marked by an object ``<directory><upload id>`` (a backend may add ``.<more>``) before it begins,
and a sweep discards what a mark names and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from securedrop_ftp.exceptions import SecureDropError
from securedrop_ftp.log import get_logger
from securedrop_ftp.storage.names import check_upload_id, is_upload_id
from securedrop_ftp.storage.protocol import Entry

logger = get_logger(__name__)


class Marks:
    """The marks in one location.

    Args:
        directory: what their keys begin with; ends with ``/``.
        list_objects: every object whose key begins with what it is given.
        remove: deletes the object of that key; it may be gone.
    """

    def __init__(
        self,
        directory: str,
        list_objects: Callable[[str], Iterator[Entry]],
        remove: Callable[[str], None],
    ) -> None:
        self._directory = directory
        self._list = list_objects
        self._remove = remove

    def key(self, upload_id: str, more: str = "") -> str:
        """Where the upload's mark is, or the one with ``more`` behind its id."""
        return self._directory + check_upload_id(upload_id) + (f".{more}" if more else "")

    def of(self, upload_id: str) -> dict[str, int]:
        """Sizes of the upload's marks, by what follows the upload id and its dot."""
        found = {entry.name: entry.size for entry in self._list(self.key(upload_id))}
        split = {name.partition("."): size for name, size in found.items()}
        return {more: size for (owner, _, more), size in split.items() if owner == upload_id}

    def all(self) -> Iterator[tuple[str, Entry]]:
        """Every mark, with the upload id that it names."""
        for entry in self._list(self._directory):
            upload_id = entry.name.partition(".")[0]
            if is_upload_id(upload_id):
                yield upload_id, entry

    def unmark(self, upload_id: str, *, listed: bool = False) -> None:
        """The upload has ended: remove its mark; ``listed``: every one that storage lists for it.
        One that stays does no harm: a sweep takes it."""
        try:
            for more in self.of(upload_id) if listed else ("",):
                self._remove(self.key(upload_id, more))
        except SecureDropError as exc:
            logger.warning("storage.mark.not_removed", upload=upload_id, reason=str(exc))

    def dead(self, keep: Callable[[str], bool], older_than: datetime) -> dict[str, datetime]:
        """Upload ids that are marked, old and not wanted, with the newest of their old marks'
        times."""
        old: dict[str, datetime] = {}
        for upload_id, entry in self.all():
            if entry.modified is not None and entry.modified < older_than:
                old[upload_id] = max(entry.modified, old.get(upload_id, entry.modified))
        return {upload_id: when for upload_id, when in old.items() if not keep(upload_id)}
