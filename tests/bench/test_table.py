"""What the benchmark's table says of two states of ours."""

from __future__ import annotations

from tests.bench.measures import LOGINS, LOGINS_CPU
from tests.bench.table import lines


def test_against_another_revision_the_goal_is_that_no_cost_has_grown() -> None:
    pairs = {
        LOGINS: [(90.0, 100.0)],
        LOGINS_CPU: [(5.0, 4.0), (4.0, 4.0), (6.0, 4.0), (5.0, 4.0), (5.0, 4.0)],
    }
    *_, speed, cost = lines(pairs, "v1", ourselves=True)
    assert speed.endswith("| 0.90 | 0.90–0.90 | 0.90–0.90 |  |  |")
    assert cost.endswith("| 1.25 | 1.25–1.25 | 1.00–1.50 | ≤ 1 | no |")
