"""The phases of one upload, and the one table of moves between them.

Everything that depends on how far an upload has come follows from here: the state of its ledger
row, whether bytes are taken, whether parts still go to storage, whether it can be stopped, and how
it ends. :class:`Story` holds the phase of an upload that this process writes; nothing else does.
The same table is in ``docs/explanation/uploads.md`` (a test compares them); ADR 13 says why.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

from securedrop_ftp.exceptions import SecureDropError, forget_frames
from securedrop_ftp.models import UploadState


class Phase(Enum):
    """How far an upload has come; the comment says what its writer does."""

    RECEIVING = "receiving"  # takes bytes, stores full parts
    FAILED = "failed"  # stores nothing more; its door has not yet ended the transfer
    FINISHING = "finishing"  # the file came whole: stores its last parts
    KEEPING = "keeping"  # it broke off: stores the parts that are full
    DISCARDING = "discarding"  # it broke off: waits for what runs, stores nothing more
    VERIFYING = "verifying"  # compares what is stored with what came; cannot be stopped any more
    PUBLISHING = "publishing"  # asks storage to publish
    SETTLING = "settling"  # writes down how it failed
    PENDING = "pending"  # storage or database did not answer: the outcome is not known
    COMMITTED = "committed"
    SUSPENDED = "suspended"  # broken off; its owner may go on with its whole parts
    ABORTED = "aborted"
    LOST = "lost"  # another session, or recovery, has the row and writes what becomes of it


class Trigger(Enum):
    """What moves an upload; the value completes the sentence “an upload does not …”."""

    FINISH = "finish"  # the client ended the file cleanly
    BREAK_OFF = "break off"  # truncated, ABOR, the session is gone: the client may go on later
    GIVE_UP = "give up"  # it ended in a way after which nobody goes on
    FAIL = "fail"  # a part was not stored, a limit was passed, or the lease is lost
    DECIDE = "decide"  # no job of its runs any more: the last one begins
    WRITE_AHEAD = "write ahead"  # the row says what is about to be published
    ANSWER = "answer"  # an earlier attempt stored these very bytes
    COMMIT = "commit"  # published, and the row says so
    LOSE_TOUCH = "lose touch"  # whether it is published is not known
    UNDO = "undo"  # not published, for a reason that is known
    SUSPEND = "suspend"
    ABORT = "abort"
    LOSE = "lose"  # the row is not its writer's any more
    RETIRE_KEEPING = "retire, keeping parts"  # its writer is dead, or its account is back
    RETIRE = "retire"
    TAKE_OVER = "take over"  # recovery publishes what a dead writer was about to
    RESUME = "resume"
    DISCARD = "discard"  # the suspended upload is not wanted any more, or too old


class By(Enum):
    """Who pulls a trigger."""

    DOOR = "its door"  # a session of its client
    PARTS = "its parts"  # jobs that store parts, and the heartbeat
    ENDING = "its ending"  # its last job
    SUCCESSOR = "a later session"  # of the same account
    RECOVERY = "recovery"
    SWEEP = "the sweep"


class Parts(Enum):
    """What a move does to the upload's parts."""

    STORE = "full ones go to storage"
    DROP = "those that wait are dropped"
    LEAVE = "stay as they are"
    PUBLISH = "are the object"
    KEEP = "stay in storage"
    FORGET = "storage forgets them"


#: The states that the ledger row may have in a phase. A lost one has whatever its new owner writes.
ROWS: Final[Mapping[Phase, tuple[UploadState, ...]]] = MappingProxyType(
    {
        Phase.RECEIVING: (UploadState.RECEIVING,),
        Phase.FAILED: (UploadState.RECEIVING,),
        Phase.FINISHING: (UploadState.RECEIVING,),
        Phase.KEEPING: (UploadState.RECEIVING,),
        Phase.DISCARDING: (UploadState.RECEIVING,),
        Phase.VERIFYING: (UploadState.RECEIVING,),
        Phase.PUBLISHING: (UploadState.PUBLISHING,),
        Phase.SETTLING: (UploadState.RECEIVING, UploadState.PUBLISHING),
        Phase.PENDING: (UploadState.PUBLISHING,),
        Phase.COMMITTED: (UploadState.COMMITTED,),
        Phase.SUSPENDED: (UploadState.SUSPENDED,),
        Phase.ABORTED: (UploadState.ABORTED,),
        Phase.LOST: (),
    }
)

#: Phases in which the door may still end the transfer, and phases in which parts go to storage.
OPEN: Final = frozenset({Phase.RECEIVING, Phase.FAILED})
STORING: Final = frozenset({Phase.RECEIVING, Phase.FINISHING, Phase.KEEPING})

_STOPPABLE = (
    Phase.RECEIVING,
    Phase.FAILED,
    Phase.FINISHING,
    Phase.KEEPING,
    Phase.DISCARDING,
)
_WRITTEN = (*_STOPPABLE, Phase.VERIFYING, Phase.PUBLISHING, Phase.SETTLING, Phase.PENDING)


@dataclass(frozen=True, slots=True)
class Move:
    """In each of ``sources`` the trigger, pulled by any of ``by``, leads to ``target``."""

    trigger: Trigger
    sources: tuple[Phase, ...]
    target: Phase
    parts: Parts
    by: tuple[By, ...]


_DOOR, _PARTS, _ENDING = (By.DOOR,), (By.PARTS,), (By.ENDING,)
_OTHERS = (By.SUCCESSOR, By.RECOVERY)

#: Every move there is. What is not here does not happen.
MOVES: Final = (
    Move(Trigger.FINISH, (Phase.RECEIVING,), Phase.FINISHING, Parts.STORE, _DOOR),
    Move(Trigger.FINISH, (Phase.FAILED,), Phase.DISCARDING, Parts.DROP, _DOOR),
    Move(
        Trigger.BREAK_OFF,
        (Phase.RECEIVING, Phase.FINISHING, Phase.KEEPING),
        Phase.KEEPING,
        Parts.STORE,
        _DOOR,
    ),
    Move(Trigger.BREAK_OFF, (Phase.FAILED, Phase.DISCARDING), Phase.DISCARDING, Parts.DROP, _DOOR),
    Move(Trigger.GIVE_UP, _STOPPABLE, Phase.DISCARDING, Parts.DROP, _DOOR),
    Move(Trigger.FAIL, (Phase.RECEIVING, Phase.FAILED), Phase.FAILED, Parts.DROP, _PARTS),
    Move(
        Trigger.FAIL,
        (Phase.FINISHING, Phase.KEEPING, Phase.DISCARDING),
        Phase.DISCARDING,
        Parts.DROP,
        _PARTS,
    ),
    Move(Trigger.DECIDE, (Phase.FINISHING,), Phase.VERIFYING, Parts.LEAVE, _ENDING),
    Move(Trigger.DECIDE, (Phase.KEEPING, Phase.DISCARDING), Phase.SETTLING, Parts.LEAVE, _ENDING),
    Move(Trigger.WRITE_AHEAD, (Phase.VERIFYING,), Phase.PUBLISHING, Parts.LEAVE, _ENDING),
    Move(Trigger.ANSWER, (Phase.VERIFYING,), Phase.COMMITTED, Parts.FORGET, _ENDING),
    Move(
        Trigger.COMMIT,
        (Phase.PUBLISHING, Phase.PENDING),
        Phase.COMMITTED,
        Parts.PUBLISH,
        (By.ENDING, By.RECOVERY),
    ),
    Move(Trigger.LOSE_TOUCH, (Phase.PUBLISHING,), Phase.PENDING, Parts.LEAVE, _ENDING),
    Move(Trigger.UNDO, (Phase.VERIFYING, Phase.PUBLISHING), Phase.SETTLING, Parts.LEAVE, _ENDING),
    Move(Trigger.SUSPEND, (Phase.SETTLING,), Phase.SUSPENDED, Parts.KEEP, _ENDING),
    Move(Trigger.ABORT, (Phase.SETTLING,), Phase.ABORTED, Parts.FORGET, _ENDING),
    Move(
        Trigger.LOSE,
        (Phase.VERIFYING, Phase.PUBLISHING, Phase.SETTLING),
        Phase.LOST,
        Parts.LEAVE,
        _ENDING,
    ),
    Move(Trigger.RETIRE_KEEPING, _WRITTEN, Phase.SUSPENDED, Parts.KEEP, _OTHERS),
    Move(Trigger.RETIRE, _WRITTEN, Phase.ABORTED, Parts.FORGET, _OTHERS),
    Move(
        Trigger.TAKE_OVER,
        (Phase.PUBLISHING, Phase.PENDING),
        Phase.PENDING,
        Parts.LEAVE,
        (By.RECOVERY,),
    ),
    Move(Trigger.RESUME, (Phase.SUSPENDED,), Phase.RECEIVING, Parts.KEEP, _DOOR),
    Move(
        Trigger.DISCARD,
        (Phase.SUSPENDED,),
        Phase.ABORTED,
        Parts.FORGET,
        (By.DOOR, By.SUCCESSOR, By.SWEEP),
    ),
)

TABLE: Final[Mapping[tuple[Phase, Trigger], Move]] = MappingProxyType(
    {(source, move.trigger): move for move in MOVES for source in move.sources}
)


def rows_before(*triggers: Trigger) -> tuple[UploadState, ...]:
    """The states in which the ledger row may be found when one of these is written down:
    what its conditional UPDATE asks for."""
    phases = [source for move in MOVES if move.trigger in triggers for source in move.sources]
    found = {state for phase in phases for state in ROWS[phase]}
    return tuple(state for state in UploadState if state in found)


def row_after(trigger: Trigger) -> UploadState:
    """The state that its UPDATE writes.

    Raises:
        ValueError: it leads to no single state.
    """
    (state,) = {state for move in MOVES if move.trigger is trigger for state in ROWS[move.target]}
    return state


class IllegalMove(RuntimeError):
    """The table has no such move: a fault of ours, never the client's."""

    def __init__(self, phase: Phase, trigger: Trigger) -> None:
        super().__init__(f"an upload that is {phase.value} does not {trigger.value}")


class Story:
    """The phase of an upload that this process writes, and why it fails if it does. Thread-safe.

    Attributes:
        cause: the first failure; ``None`` while there is none.
    """

    __slots__ = ("_lock", "_phase", "cause")

    def __init__(self) -> None:
        self._phase = Phase.RECEIVING
        self._lock = threading.Lock()
        self.cause: SecureDropError | None = None

    @property
    def phase(self) -> Phase:
        """As it is now; another thread may move it at any time until the ending decides."""
        return self._phase

    def move(self, trigger: Trigger, cause: SecureDropError | None = None) -> Move:
        """Make the move. The first ``cause`` is kept.

        Raises:
            IllegalMove: the table has none; nothing was changed.
        """
        moved = self.offer(trigger, cause)
        if moved is None:
            raise IllegalMove(self._phase, trigger)
        return moved

    def offer(self, trigger: Trigger, cause: SecureDropError | None = None) -> Move | None:
        """:meth:`move` for what may come too late: then nothing is changed."""
        with self._lock:
            move = TABLE.get((self._phase, trigger))
            if cause is not None:
                forget_frames(cause)  # they know of the upload that keeps it
            if move is not None:
                self._phase = move.target
                if self.cause is None:
                    self.cause = cause
            return move
