"""What commands do among a partner's files: as the partner would, with every permission."""

from __future__ import annotations

from dataclasses import replace

from securedrop_ftp import engine, keys
from securedrop_ftp.access.principal import Principal
from securedrop_ftp.db import write_transaction
from securedrop_ftp.events import Event
from securedrop_ftp.exceptions import Exists, NotADirectory
from securedrop_ftp.management.base import operator
from securedrop_ftp.models import OverwritePolicy, Partner, Permission
from securedrop_ftp.signals import emit


def operator_in(partner: Partner) -> Principal:
    """Who may do everything below the partner's prefix, but replace nothing."""
    return Principal(
        account_id=0,
        username=str(operator()),
        partner_id=partner.pk,
        partner=partner.name,
        root=partner.prefix,
        storage=partner.storage,
        permissions=frozenset(Permission),
        overwrite=OverwritePolicy.REJECT,
        max_file_size=None,
        max_sessions=0,
        max_passive_listeners=0,
        require_tls_session_reuse=True,
        resume_window=0,
        stall_window=0.0,
        min_transfer_rate=0,
        create_directories=partner.create_directories,
    )


def give_directory(partner: Partner, name: str) -> bool:
    """Make a directory below the partner's prefix, and those above it; ``False``: it was there.

    Raises:
        BadName: it is none.
        NotADirectory: it, or one above it, is a file.
    """
    path = keys.resolve("/", name)
    intake = engine.current().intake
    who = replace(operator_in(partner), create_directories=True)
    try:
        path = intake.directories.make(who, path)
    except Exists:
        if path != "/" and not intake.meaning.finished(who, path).entry.is_dir:
            raise NotADirectory(f"{path} is a file.") from None
        return False
    event = Event(
        "directory.created",
        partner=partner.name,
        partner_id=partner.pk,
        actor=str(operator()),
        path=path,
    )
    with write_transaction():
        emit(event)
    return True
