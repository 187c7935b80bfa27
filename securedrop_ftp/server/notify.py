"""What systemd is told of a service's state (sd_notify(3)), where it asked to be."""

from __future__ import annotations

import os
import socket


class Notifier:
    """Takes the socket's address out of the environment: children are not to use it."""

    def __init__(self) -> None:
        path = os.environ.pop("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path

    def tell(self, *assignments: str) -> None:
        """``READY=1`` and the like. Nobody waits for it, and a failure changes nothing."""
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.setblocking(False)
            try:
                sock.sendto("\n".join(assignments).encode(), self._address)
            except OSError:
                pass
