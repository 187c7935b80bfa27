"""A generation takes the variables of a file as they are when it begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from securedrop_ftp.exceptions import ConfigurationError
from securedrop_ftp.server.environment_file import EnvironmentFile


def test_changed_new_and_removed_variables_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "env"
    path.write_text("# comment\nRENAMED=old\nSAME=1\n")
    for name, value in {"RENAMED": "old", "SAME": "1", "OURS": "stays"}.items():
        monkeypatch.setenv(name, value)
    file = EnvironmentFile(path)
    path.write_text("SAME='2 and more'\n; comment\n\nNEW=a=b\n")
    environment = file.environment()
    assert environment["SAME"] == "2 and more"
    assert environment["NEW"] == "a=b"
    assert environment["OURS"] == "stays"
    assert "RENAMED" not in environment


@pytest.mark.parametrize("line", ["NAME", "export NAME=value", "NAME='open", "9=x"])
def test_what_is_no_assignment_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "env"
    path.write_text(line)
    with pytest.raises(ConfigurationError, match="not NAME=value"):
        EnvironmentFile(path)


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="Cannot read"):
        EnvironmentFile(tmp_path / "gone")
