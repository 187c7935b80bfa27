"""A client of the matrix: a small program in its own language, and how it is run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.fixtures.cast import password_of
from tests.fixtures.served import ServedFtps

PROGRAMS: Final = Path(__file__).parent / "programs"

#: A program's exit code for a verb that its client has not (``EX_USAGE``).
CANNOT: Final = 64

_REPLY = re.compile(r"(?<![\d.])[45]\d\d[ -][A-Z(\"'].*")

#: What stands below the error itself.
_NOISE = re.compile(r"Debugging info|at |\.\.\. \d+ more")


@dataclass(frozen=True, slots=True)
class Client:
    """One row of the table.

    ``kit`` names what :mod:`tests.interop.kits` installs for it; in ``command`` and ``environment``
    ``{kit}`` stands for where. ``page`` is its recipe in docs/howto/clients, ``patience`` what
    it needs to start, in seconds, beside the time that every client has.
    """

    name: str
    kit: str
    command: tuple[str, ...]
    page: str
    environment: dict[str, str] = field(default_factory=dict)
    patience: float = 0

    def run(self, where: Where, *arguments: str, timeout: float = 60) -> Answer:
        """Run one verb."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(where.home),
            "LC_ALL": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            **{n: v.format(kit=where.kit) for n, v in self.environment.items()},
            **where.environment,
        }
        command = [part.format(kit=where.kit, programs=PROGRAMS) for part in self.command]
        process = subprocess.Popen(
            [*command, *arguments],
            env=environment,
            cwd=where.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            output, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, errors = process.communicate()
            return Answer(-1, output, errors, hung=True)
        return Answer(process.returncode, output, errors)


@dataclass(frozen=True, slots=True)
class Where:
    """What a program needs to know: the server, the account, its own home."""

    ftps: ServedFtps
    username: str
    home: Path
    kit: Path

    @property
    def environment(self) -> dict[str, str]:
        ca = str(self.ftps.ca)
        return {
            "FTPS_HOST": self.ftps.host,
            "FTPS_PORT": str(self.ftps.port),
            "FTPS_USER": self.username,
            "FTPS_PASSWORD": password_of(self.username),
            "FTPS_CA": ca,
            # Where a library takes the system's authorities, the test's is the system's.
            "SSL_CERT_FILE": ca,
            "NODE_EXTRA_CA_CERTS": ca,
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """How a program ended, and what it said."""

    code: int
    output: str
    errors: str
    hung: bool = False

    @property
    def reason(self) -> str:
        """What a person reads first: the server's reply where the client shows it, else the
        client's last words."""
        said = [line.strip() for line in f"{self.output}\n{self.errors}".splitlines()]
        replies = [match[0] for line in said if (match := _REPLY.search(line))]
        words = replies or [line for line in said if line and not _NOISE.match(line)]
        words = words or [f"exit code {self.code}"]
        text = "it hangs" if self.hung and not replies else words[-1]
        text = re.sub(r"/[^\s:'\"]*/", "…/", text)
        return text if len(text) <= 100 else text[:99] + "…"
