"""A data folder that the service's user cannot write in is told before anybody is served."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from securedrop_ftp.checks.data_folder import data_folder_problems
from securedrop_ftp.conf import get_conf
from securedrop_ftp.invocation import command_line
from securedrop_ftp.server.readiness.writers import busy_writers


def test_a_folder_that_is_there_or_can_be_made_is_no_problem(tmp_path: Path) -> None:
    assert data_folder_problems(tmp_path) == []
    assert data_folder_problems(tmp_path / "to" / "be" / "made") == []


def test_a_folder_that_cannot_be_made_is_told_with_what_is_in_its_way(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    [problem] = data_folder_problems(tmp_path / "file" / "data")
    assert problem.id == "securedrop.E045"
    assert f"The data folder {tmp_path}/file/data cannot be written by the user" in problem.msg
    assert f"{tmp_path}/file is in the way" in problem.msg
    assert "SECUREDROP_DATA_DIR" in str(problem.hint)


def test_a_folder_of_another_user_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # tests may run as root
    [problem] = data_folder_problems(tmp_path)
    assert f"chown {problem.msg.split()[-1].rstrip('.')} {tmp_path}" in str(problem.hint)


def test_metrics_of_another_user_break_no_examination(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(self: Path, pattern: str) -> list[Path]:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "glob", denied)
    assert busy_writers(replace(get_conf(), data_dir=tmp_path)) == {}


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ("securedrop_ftp.project.settings", "securedrop-ftp migrate"),
        ("shop.settings", "python manage.py migrate"),
    ],
)
def test_sentences_name_a_command_that_can_be_pasted(
    monkeypatch: pytest.MonkeyPatch, settings: str, line: str
) -> None:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", settings)
    assert command_line("migrate") == line
