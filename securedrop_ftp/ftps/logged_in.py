"""A session that has logged in, as its verbs see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from securedrop_ftp.access.principal import Principal
from securedrop_ftp.conf import Conf
from securedrop_ftp.ftps.client import Account, Client
from securedrop_ftp.ftps.control import ControlChannel
from securedrop_ftp.ftps.dialogue import Dialogue
from securedrop_ftp.ftps.offload import Offload
from securedrop_ftp.ftps.rights import Rights
from securedrop_ftp.ftps.runtime import Runtime
from securedrop_ftp.ftps.storage_fs import StorageFS
from securedrop_ftp.ftps.trail import Trail
from securedrop_ftp.ftps.transfer import DataSide, Transfer
from securedrop_ftp.intake.meaning import renamable_keys, replaceable_keys
from securedrop_ftp.intake.replacing import may_replace_own
from securedrop_ftp.models import Permission
from securedrop_ftp.replies import Reply
from securedrop_ftp.storage.confined import ConfinedStorage

T = TypeVar("T")


class LoggedIn:
    """What a verb may use: who asks, their files, a way to wait, and a way to reply."""

    def __init__(
        self,
        runtime: Runtime,
        control: ControlChannel,
        *,
        client: Client,
        account: Account,
        storage: ConfinedStorage,
        offload: Offload,
        trail: Trail,
        dialogue: Dialogue,
        data: DataSide,
    ) -> None:
        #: The worker: pools, intake, shared budgets.
        self.runtime = runtime
        #: The control channel, for replies and for what only it knows.
        self.control = control
        #: Who is at the other end.
        self.client = client
        #: Who has logged in.
        self.account = account
        #: Their files, under the working directory.
        self.fs = StorageFS(storage, account.principal.root, self.storage)
        #: Parks the verb while something else works.
        self.offload = offload
        #: Rows of the audit trail.
        self.trail = trail
        #: What earlier commands said.
        self.dialogue = dialogue
        #: Data channels, and the transfer that runs.
        self.data = data
        #: Lengths of suspended uploads that the client was told, by path: APPE goes on from there.
        self.told_lengths: dict[str, int] = {}

    @property
    def principal(self) -> Principal:
        """Rights and limits as they are now."""
        return self.account.principal

    @property
    def conf(self) -> Conf:
        """Limits as they are now."""
        return self.control.conf

    def may(self, permission: Permission) -> bool:
        """Whether the account has a permission."""
        return self.principal.may(permission)

    def rights(self, directory: str) -> Rights:
        """What the account may do with what it is shown now of a directory."""
        own: frozenset[str] = frozenset()
        if self.may(Permission.RENAME_OWN) and not self.may(Permission.RENAME):
            own = self.accounts(renamable_keys, self.principal, directory)
        replaced: frozenset[str] = frozenset()
        if may_replace_own(self.principal) or self.principal.append:
            replaced = self.accounts(replaceable_keys, self.principal, directory)
        return Rights(self.principal, own.__contains__, replaced.__contains__)

    def accounts(self, function: Callable[..., T], *args: Any) -> T:
        """Call it in the accounts pool and wait."""
        return self.offload.accounts(function, *args)

    def storage(
        self, function: Callable[..., T], *args: Any, orphan: Callable[[T], Any] | None = None
    ) -> T:
        """Call it in the storage pool, on the partner's share, and wait. ``orphan`` gets the
        result if the session goes first."""
        return self.offload.storage(self.account, function, *args, orphan=orphan)

    def reply(self, reply: Reply) -> None:
        """Queue one reply for the client."""
        self.control.reply(reply)

    def reply_lines(self, code: int, first: str, lines: list[str], last: str) -> None:
        """A reply of several lines (RFC 959 §4.2)."""
        self.control.reply_lines(code, first, lines, last)

    def transfer(self, kind: str, path: str) -> Transfer:
        """Begin a transfer; the verb ends it with :meth:`Transfer.over`.

        Raises:
            NoDataChannel: PROT P does not hold, or neither PASV nor EPSV came before.
        """
        self.data.require_channel()
        return Transfer(self.control, self.client, self.account, self.data, kind=kind, path=path)
