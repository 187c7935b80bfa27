"""What a parent hears of processes: signals as bytes on a socket (handlers do nothing; the reader
acts in its own time), and the children that have ended."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator


class SignalPipe:
    """Install for some signals, read their numbers. Main thread only."""

    def __init__(self, *signals: signal.Signals) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._signals = signals
        for number in signals:
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)

    def fileno(self) -> int:
        """The descriptor that is readable when a signal came."""
        return self._reader.fileno()

    def read(self) -> list[int]:
        """The signals that came since the last call."""
        try:
            return list(self._reader.recv(512))
        except BlockingIOError:
            return []

    def fork(self) -> int:
        """As os.fork; the child has the defaults. A signal that is sent to it at once reaches it:
        it would be taken for one of ours before they are restored."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)
        try:
            pid = os.fork()
            if not pid:
                self.close()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return pid

    def close(self) -> None:
        """Back to the defaults: also in a child that has nothing to do with them."""
        signal.set_wakeup_fd(-1)
        for number in self._signals:
            signal.signal(number, signal.SIG_DFL)
        self._reader.close()
        self._writer.close()


def ended_children() -> Iterator[tuple[int, int]]:
    """Process id and exit code (negative: the signal) of each child that has ended since the last
    call. Waits for none, and leaves no zombie of those that it gave."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        yield pid, os.waitstatus_to_exitcode(status)
