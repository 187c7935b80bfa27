"""A database writer that is stuck is told of by readiness and by doctor."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from securedrop_ftp.conf import Conf, get_conf
from securedrop_ftp.metrics import Metrics
from securedrop_ftp.server.doctor.database import writers
from securedrop_ftp.server.readiness import checks


@pytest.fixture
def conf(tmp_path: Path, settings: object) -> Iterator[Conf]:
    settings.SECUREDROP = {"DATA_DIR": str(tmp_path)}  # type: ignore[attr-defined]
    get_conf.cache_clear()
    yield get_conf()
    get_conf.cache_clear()


def left(conf: Conf, worker: int, busy: float, *, age: float = 0) -> None:
    """The metrics of a worker, written so many seconds ago."""
    path = conf.data_dir / "metrics" / f"worker-{worker}.prom"
    metrics = Metrics()
    metrics.watch("securedrop_database_writer_busy_seconds", lambda: busy)
    metrics.write(path, node="here", worker=str(worker))
    os.utime(path, (time.time() - age,) * 2)


def test_writers_that_go_on_are_well(conf: Conf) -> None:
    assert checks.CHECKS["writer"]() == checks.Answer(), "where none serves, too"
    left(conf, 0, 0.0)
    left(conf, 1, 12.5)
    assert checks.CHECKS["writer"]() == checks.Answer()
    assert list(writers(conf)) == []


def test_one_that_is_stuck_degrades_and_all_of_them_make_the_node_unavailable(conf: Conf) -> None:
    left(conf, 0, 73.4)
    left(conf, 1, 0.0)
    answer = checks.CHECKS["writer"]()
    assert (answer.word, answer.serves) == ("1 of 2 stuck", True)
    (finding,) = writers(conf)
    assert str(finding).startswith(
        "problem  database: The database writer of worker 0 has been at one job for 73 s; until it"
        " goes on, the worker refuses uploads."
    )
    left(conf, 1, 300)
    assert checks.CHECKS["writer"]().serves is False


def test_what_a_killed_worker_left_says_nothing(conf: Conf) -> None:
    left(conf, 0, 300, age=3600)
    assert checks.CHECKS["writer"]() == checks.Answer()
