"""The table: medians of both sides, the median of the pairs' ratios, the goal, yes or no."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from tests.bench.measures import FIGURES, Figure

Pair = tuple[float, float]  # ours, the peer's, in one round


def lines(pairs: Mapping[Figure, Sequence[Pair]], peer: str) -> list[str]:
    """Markdown."""
    out = [
        f"| measure | unit | ours | {peer} | ratio | spread | goal | |",
        "|---|---|--:|--:|--:|--:|--:|---|",
    ]
    out += [_row(figure, pairs[figure]) for figure in FIGURES if pairs.get(figure)]
    return out


def _row(figure: Figure, pairs: Sequence[Pair]) -> str:
    ratios = sorted(ours / theirs for ours, theirs in pairs)
    ratio = median(ratios)
    goal = ""
    if figure.goal is not None:
        goal = f"{'≥' if figure.more_is_better else '≤'} {figure.goal:g}"
    verdict = {True: "yes", False: "no", None: ""}[figure.met(ratio)]
    return (
        f"| {figure.name} | {figure.unit} | {_number(median(p[0] for p in pairs))} "
        f"| {_number(median(p[1] for p in pairs))} | {ratio:.2f} "
        f"| {ratios[0]:.2f}–{ratios[-1]:.2f} | {goal} | {verdict} |"
    )


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
