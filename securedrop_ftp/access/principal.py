"""Who is logged in and what they may do: small, frozen, made at login and again when an operator
changed something."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from securedrop_ftp.access.certificates import PeerCertificate
from securedrop_ftp.conf import get_conf
from securedrop_ftp.models import Account, AsciiPolicy, OverwritePolicy, Permission

_STAMP_KEY: Final = secrets.token_bytes(32)


@dataclass(frozen=True, slots=True)
class Principal:
    """The outcome of a login. Holds no credential.

    Attributes:
        partner: the partner's name.
        root: the key prefix that the account sees as ``/``; ends in ``/``.
        storage: an alias of Django's ``STORAGES``.
        max_file_size: bytes, ``None``: no limit.
        resume_window: seconds that an interrupted upload is kept.
        stall_window: seconds after which a transfer that moves nothing is given up.
        min_transfer_rate: bytes a second, averaged over ``stall_window``; 0: none is asked.
        create_directories: missing directories above a name are made with it.
        append: what the account stored may be appended to when it is finished.
        ascii: what becomes of files under TYPE A.
        accept_missing_close_notify: FIN alone may end an upload that ALLO announced exactly.
        certificate: the client certificate that the login was checked with, if it was.
        since: when the partner, and its top directory with it, was made.
        stamp: differs once the user's password was changed; of no use outside these processes.
    """

    account_id: int
    username: str
    partner_id: int
    partner: str
    root: str
    storage: str
    permissions: frozenset[Permission]
    overwrite: OverwritePolicy
    max_file_size: int | None
    max_sessions: int
    max_passive_listeners: int
    require_tls_session_reuse: bool
    resume_window: int
    stall_window: float
    min_transfer_rate: int
    create_directories: bool = False
    append: bool = False
    ascii: AsciiPolicy = AsciiPolicy.CONVERT
    accept_missing_close_notify: bool = False
    certificate: PeerCertificate | None = None
    since: datetime | None = None
    stamp: bytes = field(default=b"", repr=False)

    def may(self, permission: Permission) -> bool:
        """Whether the account holds ``permission``."""
        return permission in self.permissions


def principal_of(
    account: Account, certificate: PeerCertificate | None = None, user: Any = None
) -> Principal:
    """The principal of an account whose ``user`` and ``partner`` are loaded. ``user`` is the one
    that was authenticated, where its password may have been hashed anew by that."""
    partner = account.partner
    conf, window = get_conf(), partner.resume_window
    stall, rate = partner.stall_window, partner.min_transfer_rate
    return Principal(
        account_id=account.pk,
        username=account.username,
        partner_id=partner.pk,
        partner=partner.name,
        root=account.root,
        storage=partner.storage,
        permissions=account.effective_permissions,
        overwrite=partner.overwrite_policy,
        max_file_size=partner.max_file_size,
        max_sessions=partner.max_sessions,
        max_passive_listeners=partner.max_passive_listeners,
        require_tls_session_reuse=partner.require_tls_session_reuse,
        resume_window=conf.resume_window if window is None else window,
        stall_window=conf.stall_window if stall is None else stall,
        min_transfer_rate=conf.min_transfer_rate if rate is None else rate,
        create_directories=partner.create_directories,
        append=partner.append and partner.overwrite_policy == OverwritePolicy.REPLACE,
        ascii=AsciiPolicy(partner.ascii),
        accept_missing_close_notify=partner.accept_missing_close_notify,
        certificate=certificate,
        since=partner.created,
        stamp=_stamp(user or account.user),
    )


def _stamp(user: Any) -> bytes:
    return hashlib.blake2b(user.password.encode(), key=_STAMP_KEY, digest_size=16).digest()
