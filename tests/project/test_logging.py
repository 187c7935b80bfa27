"""Log lines: one a line, whatever a client sends; no local variable of a traceback."""

from __future__ import annotations

import json
import logging
import logging.config
from collections.abc import Iterator

import pytest
import structlog

from securedrop_ftp.project.logging import logging_config

HOSTILE = "a\nlevel=info event=forged\x1b[2J\x07é"


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)


@pytest.fixture(params=["json", "console"])
def log_format(request: pytest.FixtureRequest, root: logging.Logger) -> str:
    logging.config.dictConfig(logging_config(request.param))
    return str(request.param)


def test_a_hostile_value_stays_on_its_line(
    log_format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # The handler holds the stream of when it was made; capsys's is made before.
    logging.config.dictConfig(logging_config(log_format))
    structlog.stdlib.get_logger("test").warning("tried", path=HOSTILE)
    logging.getLogger("another.library").warning("tried %s", HOSTILE)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert not any("\x1b[2J" in line or "\x07" in line for line in lines)
    assert all("é" in line or "\\u00e9" in line for line in lines)


def test_a_traceback_shows_no_local_variable(
    log_format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logging.config.dictConfig(logging_config(log_format))
    password = "".join(["planted", "-", "secret"])
    try:
        raise ValueError(len(password))
    except ValueError:
        structlog.stdlib.get_logger("test").exception("failed")
    text = capsys.readouterr().err
    assert "ValueError: 14" in text
    assert "planted-secret" not in text


def test_json_lines_are_json_with_their_bound_values(capsys: pytest.CaptureFixture[str]) -> None:
    logging.config.dictConfig(logging_config("json"))
    with structlog.contextvars.bound_contextvars(session="s1"):
        structlog.stdlib.get_logger("test").info("session opened", partner="acme")
    line = json.loads(capsys.readouterr().err)
    assert line["event"] == "session opened"
    assert (line["session"], line["partner"], line["level"]) == ("s1", "acme", "info")
