"""What the clients did, kept between runs, and the page that shows it."""

from __future__ import annotations

import json
import threading
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from tests.fixtures.processes import ROOT
from tests.interop.catalogue import CATALOGUE, NOT_TRIED
from tests.interop.kits import cache
from tests.interop.service import POLICIES, PROFILES
from tests.interop.trial import Outcome

TABLE: Final = ROOT / "docs" / "reference" / "clients-table.md"
FAILURES: Final = ROOT / "docs" / "reference" / "clients-failures.md"

COLUMNS: Final = [f"{profile}, {policy}" for profile in PROFILES for policy in POLICIES]


@dataclass(frozen=True, slots=True)
class Result:
    """One client in one column."""

    outcomes: list[Outcome]

    @property
    def failed(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.good is False]

    @property
    def cell(self) -> str:
        """Steps that went well, of those that the client has."""
        tried = [outcome for outcome in self.outcomes if outcome.good is not None]
        good = sum(outcome.good is True for outcome in tried)
        return f"{good}/{len(tried)}" if good < len(tried) else f"all {len(tried)}"


class Results:
    """Of all clients, by name."""

    def __init__(self, rows: dict[str, Any]) -> None:
        self.rows = rows
        self._lock = threading.Lock()

    @classmethod
    def load(cls) -> Results:
        path = cache() / "results.json"
        return cls(json.loads(path.read_text()) if path.exists() else {})

    def save(self) -> None:
        with self._lock:
            cache().mkdir(parents=True, exist_ok=True)
            (cache() / "results.json").write_text(json.dumps(self.rows, indent=1))

    def put(self, name: str, version: str, column: str, outcomes: list[Outcome]) -> None:
        with self._lock:
            row = self.rows.setdefault(name, {})
            row.pop("missing", None)
            row["version"], row["date"] = version, datetime.now(UTC).date().isoformat()
            kept = {o["step"]: o for o in row.setdefault("columns", {}).get(column, [])}
            kept |= {outcome.step: asdict(outcome) for outcome in outcomes}
            row["columns"][column] = list(kept.values())

    def missing(self, name: str, why: str) -> None:
        with self._lock:
            self.rows[name] = {"missing": why}

    def result(self, name: str, column: str) -> Result | None:
        outcomes = self.rows.get(name, {}).get("columns", {}).get(column)
        return Result([Outcome(**o) for o in outcomes]) if outcomes is not None else None

    # --- as text ---------------------------------------------------------------------

    def table(self, names: list[str]) -> str:
        """Versions, and one column for each profile and policy."""
        heads = [f"`{p}`, {policy}" for p in PROFILES for policy in POLICIES]
        lines = ["| client | version | " + " | ".join(heads) + " |", "|---" * 6 + "|"]
        pages = {client.name: client.page for client in CATALOGUE}
        for name in names:
            row = self.rows.get(name, {"missing": "not run yet"})
            link = f"{{doc}}`{name} </howto/clients/{pages[name]}>`"
            if "missing" in row:
                lines.append(f"| {link} | not tried: {row['missing']} | | | | |")
                continue
            results = [self.result(name, column) for column in COLUMNS]
            cells = [result.cell if result else "not run" for result in results]
            lines.append(f"| {link} | {row['version']} | {' | '.join(cells)} |")
        return "\n".join(lines)

    def failures(self, names: list[str]) -> str:
        """Which steps failed, and what the person at the client read."""
        lines = ["| client | where | steps | what its user reads |", "|---|---|---|---|"]
        for name in names:
            said: dict[tuple[str, str], list[str]] = {}
            for column in COLUMNS:
                if result := self.result(name, column):
                    for step, text in _by_text(result.failed).items():
                        said.setdefault((step, text), []).append(column)
            lines += [
                f"| {name} | {'; '.join(columns)} | {steps} | {_escaped(text)} |"
                for (steps, text), columns in said.items()
            ]
        return "\n".join(lines)

    def write(self) -> None:
        """Both texts, which pages of the documentation include."""
        names = [client.name for client in CATALOGUE]
        dates = sorted({row["date"] for row in self.rows.values() if "date" in row})
        when = " to ".join(dict.fromkeys([dates[0], dates[-1]])) if dates else "no day yet"
        untried = "\n".join(f"- {name}: not tried, {why}." for name, why in NOT_TRIED.items())
        TABLE.write_text(
            f"*Measured by `make test-clients` on {when}.*\n\n{self.table(names)}\n\n{untried}\n"
        )
        FAILURES.write_text(self.failures(names) + "\n")


def _by_text(failed: list[Outcome]) -> dict[str, str]:
    """The steps that failed, in one line, to the commonest of what was said."""
    if not failed:
        return {}
    steps = [outcome.step for outcome in failed]
    uploads = [step for step in steps if step.startswith("upload ")]
    if len(uploads) == 5:
        steps = ["every upload", *(step for step in steps if step not in uploads)]
    text = Counter(outcome.said for outcome in failed).most_common(1)[0][0]
    return {", ".join(steps): text}


def _escaped(text: str) -> str:
    for sign in "\\|<>[]*_`{}":
        text = text.replace(sign, f"\\{sign}")
    return text
