"""Numbered places in uploads, renames and deletions, where the fault tests may stop the process.

``step(name)`` costs one comparison and does nothing unless the setting ``fault_step`` names that
place; the kill suite sets it to ``name`` or ``name:n`` (the n-th passage) and the process ends
there by SIGKILL, as a power cut would end it. A system check warns whenever it is set.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Final

#: Every place, in the order in which an upload passes them.
STEPS: Final = (
    "admitted.before",  # before the ledger row
    "admitted.after",
    "begin.before",  # before the backend is asked to begin
    "begin.after",
    "part.before",  # before a part is put
    "part.after",  # put, not yet recorded
    "part.recorded",
    "publishing.before",  # everything is in storage, the ledger does not know
    "publishing.after",  # the write-ahead row is committed
    "commit.after",  # published, the ledger does not know
    "committed.after",  # ledger and audit row are committed, no reply yet
    "suspend.before",
    "suspend.after",
    "abort.before",
    "abort.after",  # the ledger knows, storage not yet
)

#: The same of a rename and of a deletion.
NAMING_STEPS: Final = (
    "rename.claimed",
    "rename.moving",  # written ahead, storage was not asked yet
    "rename.copied",  # by a storage that copies: the ledger does not know
    "rename.recorded",
    "rename.done",  # in storage; the ledger does not know
    "rename.told",  # ledger and audit row are committed, no reply yet
    "delete.claimed",
    "delete.moving",
    "delete.done",
    "delete.told",
)

_hook: Callable[[str], None] | None = None


def step(name: str) -> None:
    """Pass a numbered place."""
    if _hook is not None:
        _hook(name)


def set_hook(hook: Callable[[str], None] | None) -> None:
    """Call ``hook`` at every step; tests raise from it."""
    global _hook
    _hook = hook


def arm(fault_step: str) -> None:
    """Kill this process at a step (``name`` or ``name:n``); ``""`` disarms.

    Raises:
        ValueError: there is no such step.
    """
    if not fault_step:
        set_hook(None)
        return
    name, _, count = fault_step.partition(":")
    if name not in STEPS + NAMING_STEPS:
        known = ", ".join(STEPS + NAMING_STEPS)
        raise ValueError(f"no step {name!r}; there are {known}")
    left = int(count or 1)

    def kill(passed: str) -> None:
        nonlocal left
        if passed == name:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    set_hook(kill)
