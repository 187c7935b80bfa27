"""Variables that stand in a file, for a generation to come: systemd's ``EnvironmentFile=`` is read
once, when the service starts."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from securedrop_ftp.exceptions import ConfigurationError


class EnvironmentFile:
    """The file of ``ftps_serve --environment-file``, whose variables this process has already.

    Raises:
        ConfigurationError: it cannot be read, or a line of it is no ``NAME=value``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._names = frozenset(self._read())  # what is no longer in it shall be gone

    def environment(self) -> dict[str, str]:
        """This process's variables, with those of the file as they are now. Raises as above."""
        ours = {name: value for name, value in os.environ.items() if name not in self._names}
        return ours | self._read()

    def _read(self) -> dict[str, str]:
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as exc:
            raise ConfigurationError(f"Cannot read {self._path}: {exc}.") from exc
        kept = [line.strip() for line in lines]
        return dict(self._pair(line) for line in kept if line and line[0] not in "#;")

    def _pair(self, line: str) -> tuple[str, str]:
        name, equals, value = line.partition("=")
        try:
            words = shlex.split(value)
        except ValueError:
            equals = ""
        if not equals or not name.isidentifier():
            raise ConfigurationError(f"{self._path}: not NAME=value: {name[:40]!r}.")
        return name, " ".join(words)
