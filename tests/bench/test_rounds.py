"""What the benchmark keeps when a measure fails."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import cast

from tests.bench.measures import LOGINS, SMALL, Bench, Figures
from tests.bench.run import rounds
from tests.bench.server import Server


class Scripted:
    """Two measures; the peer of that name fails at small files."""

    def small_files(self, server: Server) -> Figures:
        if server.name == "poor peer":
            raise RuntimeError("425 no port is left")
        return {SMALL: 300.0}

    def logins(self, server: Server) -> Figures:
        return {LOGINS: 100.0}


def server(name: str) -> Server:
    return Server(name, 0, "", "", Path(), 0)


def test_a_measure_that_fails_costs_its_own_figures_only() -> None:
    options = argparse.Namespace(rounds=2, only=["small_files", "logins"])
    peers = [server("good peer"), server("poor peer")]
    outcome = rounds(cast(Bench, Scripted()), options, server("ours"), peers, server("digesting"))
    assert outcome.pairs["good peer"] == {SMALL: [(300.0, 300.0)] * 2, LOGINS: [(100.0, 100.0)] * 2}
    assert outcome.pairs["poor peer"] == {LOGINS: [(100.0, 100.0)] * 2}
    assert outcome.failures == ["small_files of poor peer: 425 no port is left"] * 2
