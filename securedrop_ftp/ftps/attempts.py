"""Attempts that were refused before anything was done leave their row as well (invariant 8).

Where a verb has begun, it writes its own row. Refusals before that (a name that is not valid, no
data channel, no login) come here, from one place, whatever refused them; what a verb attempts is
said where it is registered (:attr:`~securedrop_ftp.ftps.registry.Verb.attempts`).
"""

from __future__ import annotations

from securedrop_ftp.events import Event
from securedrop_ftp.exceptions import BadName
from securedrop_ftp.ftps.dialogue import Dialogue
from securedrop_ftp.ftps.registry import attempted
from securedrop_ftp.ftps.storage_fs import StorageFS
from securedrop_ftp.ftps.wire import Command, Violation
from securedrop_ftp.replies import Reply


def refused(
    item: Command | Violation,
    reply: Reply,
    reason: str,
    *,
    dialogue: Dialogue,
    fs: StorageFS | None,
) -> Event | None:
    """The row of a refused attempt; ``None`` where the command attempts nothing. What came with
    PASS stands in no row. ``fs``: of who has logged in."""
    name = attempted(item.verb)
    if item.verb == "USER" and isinstance(item, Violation):
        name = "login.failed"
    if not name or (name == "login.failed" and fs is not None):
        return None
    login = name == "login.failed"
    return Event(
        name,
        outcome="denied" if reply.code == 530 else "failure",
        account=(item.argument if item.verb == "USER" else dialogue.username) if login else "",
        path="" if login else _path(item, dialogue, fs),
        reason=reason or reply.text,
        reply=str(reply),
    )


def _path(item: Command | Violation, dialogue: Dialogue, fs: StorageFS | None) -> str:
    path = item.argument
    if fs is not None and item.verb != "STOU":
        try:
            path = fs.resolve(path)
        except BadName:
            pass  # as it was sent
    source = dialogue.said.rename_from
    return f"{source.path} -> {path}" if item.verb == "RNTO" and source else path
