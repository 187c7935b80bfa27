"""The demo's process tree: FTPS and the admin site, started, awaited and stopped together."""

from __future__ import annotations

import http.client
import re
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from securedrop_ftp.checks.exposure import is_loopback
from securedrop_ftp.exceptions import ConfigurationError
from securedrop_ftp.project.demo.children import Child

START_TIMEOUT: Final = 60.0
#: Of the admin site. Not "auto": granian 2.8.7 over HTTP/2 leaves the thread whose request body was
#: reset spinning for ever, so that two requests of a stranger's took the site and both cores
#: (docs/upstream/granian-http2-reset.md).
HTTP_VERSION: Final = "1"
_STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_READY: Final = re.compile(r"^ready ftps://(\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is to listen, and the variable that says so."""

    host: str
    port: int
    variable: str

    @classmethod
    def parse(cls, text: str, variable: str) -> Address:
        """From ``host:port``. Raises ConfigurationError."""
        host, _, port = text.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise ConfigurationError(f"{variable} is {text!r}; write HOST:PORT.")
        return cls(host.strip("[]"), int(port), variable)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def refuse_unless_usable(self) -> None:
        """Raises ConfigurationError for an address outside loopback, and for a port in use."""
        if not is_loopback(self.host):
            raise ConfigurationError(
                f"The demo serves this machine only, and {self.variable}={self} is not a loopback "
                f"address. Set {self.variable}=127.0.0.1:{self.port}, or serve for real with "
                "accounts of your own: docs/howto/deploy.md."
            )
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.host, self.port))
            except OSError as exc:
                raise ConfigurationError(
                    f"{self} is taken ({exc.strerror}): is another demo running? Free it, or "
                    f"choose another port: {self.variable}={self.host}:{self.port + 1}"
                ) from exc


class Tree:
    """The two servers. Made with the environment that both get."""

    def __init__(self, env: Mapping[str, str], logs: Path, cwd: Path) -> None:
        self._env = env
        self._logs = logs
        self._cwd = cwd
        self._children: list[Child] = []
        self._asked = threading.Event()
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in _STOPPING:
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: Any) -> None:
        self._asked.set()

    def start_ftps(self) -> str:
        """``ftps_serve``; returns its address once every worker accepts."""
        manage = [sys.executable, "-m", "securedrop_ftp.project.cli"]
        child = self._start("ftps", [*manage, "ftps_serve"])
        self._await(child, lambda: _READY.search(child.out.read_text()) is not None)
        match = _READY.search(child.out.read_text())
        return match.group(1) if match else ""

    def start_web(self, address: Address, certificate: Path, key: Path, ca: Path) -> None:
        """granian with the admin site; returns once it answers over TLS."""
        child = self._start("web", web_command(address, certificate, key))
        self._await(child, lambda: _answers(address, ca))

    def wait(self) -> None:
        """Until Ctrl-C or SIGTERM.

        Raises:
            ConfigurationError: a server ended by itself; the message has its last words.
        """
        while not self._asked.wait(0.3):
            for child in self._children:
                if child.exit_code is not None:
                    raise _ended(child)

    def stop(self, timeout: float) -> None:
        """Stop both at once; a second Ctrl-C stops waiting for transfers."""
        impatient = threading.Event()
        for number in _STOPPING:
            signal.signal(number, lambda *_: impatient.set())
        for child in self._children:
            child.ask_to_stop()
        waited = 0.0
        while any(c.exit_code is None for c in self._children) and waited < timeout:
            if impatient.wait(0.1):
                break
            waited += 0.1
        for child in self._children:
            child.stop(0)

    def _start(self, name: str, argv: list[str]) -> Child:
        child = Child(name, argv, env=self._env, output=self._logs, cwd=self._cwd)
        self._children.append(child)
        return child

    def _await(self, child: Child, ready: Callable[[], bool]) -> None:
        waited = 0.0
        while not ready():
            if child.exit_code is not None:
                raise _ended(child)
            if waited > START_TIMEOUT:
                raise ConfigurationError(f"{child.name} did not start; see {child.log}.")
            if self._asked.wait(0.1):
                raise KeyboardInterrupt
            waited += 0.1


def web_command(address: Address, certificate: Path, key: Path) -> list[str]:
    """The command that serves the admin site over TLS."""
    options = {
        "--interface": "wsgi",
        "--http": HTTP_VERSION,
        "--host": address.host,
        "--port": str(address.port),
        "--ssl-certificate": str(certificate),
        "--ssl-keyfile": str(key),
        "--workers": "1",
        "--blocking-threads": "2",
        "--log-level": "warning",
        # A worker that is told to stop while it starts may miss it (seen with 2.8).
        "--workers-kill-timeout": "5",
    }
    flags = [part for pair in options.items() for part in pair]
    return [sys.executable, "-m", "granian", *flags, "securedrop_ftp.project.wsgi:application"]


def _ended(child: Child) -> ConfigurationError:
    return ConfigurationError(
        f"The {child.name} server ended (exit code {child.exit_code}). Its last words, from "
        f"{child.log}:\n\n{child.tail()}"
    )


def _answers(address: Address, ca: Path) -> bool:
    context = ssl.create_default_context(cafile=str(ca))
    connection = http.client.HTTPSConnection(address.host, address.port, context=context, timeout=5)
    with suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/admin/login/")
        return connection.getresponse().status == 200
    return False
