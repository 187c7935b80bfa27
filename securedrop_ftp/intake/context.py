"""What every part of the intake shares: limits, ledger, memory, disks, pool and running uploads.

:class:`~securedrop_ftp.intake.service.Intake` makes one and gives it to admission, resumption, the
streams and their endings; none of them knows the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from securedrop_ftp.access.principal import Principal
from securedrop_ftp.conf import Conf
from securedrop_ftp.db import DatabaseWriter
from securedrop_ftp.intake.buffers import MemoryBudget
from securedrop_ftp.intake.held import forget_parts
from securedrop_ftp.intake.kept_directories import confined
from securedrop_ftp.intake.ledger import Ledger
from securedrop_ftp.intake.live import LiveUploads
from securedrop_ftp.intake.recovery import Recovery
from securedrop_ftp.intake.space import Space
from securedrop_ftp.intake.unsettled import Unsettled
from securedrop_ftp.models import Upload
from securedrop_ftp.storage.confined import ConfinedStorage
from securedrop_ftp.storage.protocol import Backend

#: Settings that a reload changes for uploads that begin afterwards.
_RELOADED = ("part_size", "max_part_size", "parts_in_flight", "upload_memory", "worker_memory")


class IntakeContext:
    """See the module's docstring; the arguments are those of
    :class:`~securedrop_ftp.intake.service.Intake`.

    Attributes:
        conf: the settings as they are now.
        submit: ``submit(partner_name, job)`` runs ``job`` in the storage pool; never blocks.
        ledger: runs the jobs that read and change upload rows.
        unsettled: jobs that the database did not take.
        recovery: settles rows whose writer is gone.
        budget: the memory of all part buffers.
        space: the disks that uploads fill.
        live: the uploads that this process is writing.
    """

    def __init__(
        self,
        conf: Conf,
        *,
        submit: Callable[[str, Callable[[], None]], None],
        writer: DatabaseWriter | None,
        backend_for: Callable[[str], Backend],
        owner: str,
    ) -> None:
        self.conf = conf
        self.submit = submit
        self.ledger = Ledger(writer, owner=owner, lease_seconds=conf.lease_seconds)
        self.unsettled = Unsettled(self.ledger)
        self.recovery = Recovery(self.ledger, backend_for, conf)
        self.budget = MemoryBudget(conf.worker_memory)
        self.space = Space(conf)
        self.live = LiveUploads()
        self._backend_for = backend_for

    def take_limits(self, conf: Conf) -> None:
        """After a reload: sizes and memory as they are set now, for uploads that begin. What is
        held stays until it is given back."""
        self.conf = replace(self.conf, **{name: getattr(conf, name) for name in _RELOADED})
        self.budget.limit = conf.worker_memory

    def storage(self, principal: Principal) -> ConfinedStorage:
        """The principal's storage, confined to its root."""
        return confined(self._backend_for(principal.storage), principal.root, principal.storage)

    def fence(self, row: Upload, backend: Backend, *, kept: bool) -> None:
        """A row was taken from its writer: stop the writer if it is one of ours, else let storage
        forget the parts, unless they are ``kept`` for the client to go on with."""
        if not self.live.lose(row.pk) and not kept:
            forget_parts(row, backend)
