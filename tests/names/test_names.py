"""The stateful model of names against the service: no reply tells what is not so, and no
acknowledged byte is lost or replaced but by an act that its owner was allowed and told of.

``make test-names`` runs the long form (``SEQUENCES=10000``), with races of two sessions in it.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.fixtures.served import Serve
from tests.names.machine import machine_of
from tests.names.service import Service
from tests.names.service import settings as service_settings

SEQUENCES = int(os.environ.get("SEQUENCES", "0"))
#: Database, storage, sequences of the short form, and their share in the long one.
SERVICES = [
    ("sqlite", "filesystem", 30, 0.4),
    ("sqlite", "filesystem", 0, 0.3),
    ("postgres", "filesystem", 10, 0.2),
    ("sqlite", "s3", 8, 0.1),
]


@pytest.mark.timeout(0)  # it ends with its sequences
@pytest.mark.parametrize(("database", "storage", "short", "share"), SERVICES)
def test_replies_and_storage_are_those_of_a_possible_world(
    served: Serve, tmp_path: Path, database: str, storage: str, short: int, share: float
) -> None:
    sequences = int(SEQUENCES * share) or short
    if not sequences:
        pytest.skip("SEQUENCES=10000: so that two run side by side")
    options = {
        "part_size": 65536,
        "lease_seconds": 5,  # what got no answer is settled within a third of it
        "presence_interval": 60,
        "control_check_interval": 60,
        "idle_timeout": 86400,
    }
    if storage == "s3":
        # What may still be carried out is not settled before these are over.
        options |= {"part_size": 8388608, "operation_timeout": 15, "storage_timeout": 15}
    ftps = served(database, storage, workers=2, options=options, env=service_settings(tmp_path))
    service = Service(ftps, tmp_path, copies=storage == "s3", races=bool(SEQUENCES))
    if not SEQUENCES:
        service.killed_share = service.failing_share = 0.2
    service.make_partners()
    counts: Counter[str] = Counter()
    try:
        _run(service, counts, sequences)
    finally:
        told = tmp_path / "tales.txt"
        print(told.read_text() if told.exists() else "")
        print(f"\n  {database} and {storage}: {dict(sorted(counts.items()))}")
    assert counts["sequences"] >= sequences * 0.9
    assert counts["on two workers"]


def _run(service: Service, counts: Counter[str], sequences: int) -> None:
    run_state_machine_as_test(
        machine_of(service, counts),
        settings=settings(
            max_examples=sequences,
            stateful_step_count=24,
            deadline=None,
            derandomize=not SEQUENCES,
            database=None,
            phases=[Phase.generate],
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
