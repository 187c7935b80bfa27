"""What settles the uploads of dead writers and clears away what nobody will come back for."""

from __future__ import annotations

from collections.abc import Callable, Container

from securedrop_ftp.conf import get_conf
from securedrop_ftp.engine import presence
from securedrop_ftp.exceptions import StorageUnavailable
from securedrop_ftp.intake import owners
from securedrop_ftp.intake.ledger import Ledger
from securedrop_ftp.intake.locations import located_backend
from securedrop_ftp.intake.owners import Boot
from securedrop_ftp.intake.recovery import Recovery
from securedrop_ftp.storage.protocol import Backend


def recover_node(boot: Boot, silent: Container[str] = ()) -> None:
    """Settle what dead writers of other boots of this node and service left. What is in ``silent``
    storages, which do not answer, is settled later, by the rounds of any engine. Blocks.
    """

    def reached(alias: str) -> Backend:
        if alias in silent:
            raise StorageUnavailable(f"storage “{alias}” cannot be used")
        return located_backend(alias)

    def left(owner: str) -> bool:
        known = owners.boot_of(owner)
        return known is not None and known[:2] == (boot.node, boot.service) and known[2] != boot.id

    _recovery(boot, reached).recover(lambda owner: left(owner) and bool(owners.gone([owner])))
    owners.forget_dead_namesakes(boot)


def recover_generation(boot: Boot) -> None:
    """Settle what another generation of this service left that was killed. Blocks."""
    presence.forget_stale()
    recover_node(boot)


def recover_owner(boot: Boot, dead: str) -> None:
    """Settle what one writer left that has just died. Blocks."""
    presence.forget(dead)
    _recovery(boot).recover(lambda owner: owner == dead)


def prune(boot: Boot) -> None:
    """Remove expired partials, orphan multiparts and the sessions of dead processes. Blocks."""
    presence.forget_stale()
    _recovery(boot).prune()


def _recovery(boot: Boot, reached: Callable[[str], Backend] = located_backend) -> Recovery:
    conf = get_conf()
    owner = boot.writer("housekeeping")
    return Recovery(Ledger(None, owner=owner, lease_seconds=conf.lease_seconds), reached, conf)
