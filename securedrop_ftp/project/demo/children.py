"""Child processes that cannot outlive their parent."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

#: prctl(2): the signal that this process gets when its parent ends.
_PR_SET_PDEATHSIG: Final = 1

_libc = ctypes.CDLL(None, use_errno=True)


def die_with(parent: int) -> None:
    """Have the kernel send SIGTERM to this process when its parent ends, however it ends.

    ``parent`` is the id it should have now; if it is another one already, the parent ended
    before this call, and so does this process.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


class Child:
    """A process in a session of its own (Ctrl-C reaches the parent alone, which stops its
    children in order), with standard output and standard error in files."""

    def __init__(
        self, name: str, argv: Sequence[str], *, env: Mapping[str, str], output: Path, cwd: Path
    ) -> None:
        self.name = name
        self.log = output / f"{name}.log"
        self.out = output / f"{name}.out"
        parent = os.getpid()
        with self.log.open("wb") as log, self.out.open("wb") as out:
            self.process = subprocess.Popen(
                argv,
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: die_with(parent),  # noqa: PLW1509 - before any thread
            )

    @property
    def pid(self) -> int:
        """The process id of the child."""
        return self.process.pid

    @property
    def exit_code(self) -> int | None:
        """``None`` while it runs."""
        return self.process.poll()

    def tail(self, lines: int = 15) -> str:
        """The end of what it wrote, standard output last."""
        text = self.log.read_text("utf-8", "replace") + self.out.read_text("utf-8", "replace")
        return "\n".join(text.splitlines()[-lines:])

    def ask_to_stop(self) -> None:
        """Send SIGTERM; :meth:`stop` waits for the end."""
        if self.exit_code is None:
            self.process.terminate()

    def stop(self, timeout: float) -> int:
        """SIGTERM, wait, and SIGKILL for its whole group after ``timeout`` seconds."""
        self.ask_to_stop()
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
        with suppress(ProcessLookupError):  # grandchildren, should there be any
            os.killpg(self.pid, signal.SIGKILL)
        return self.process.returncode

    def kill(self) -> None:
        """SIGKILL for its whole group."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
