"""The table: medians of both sides, the median of the pairs' ratios, the goal, yes or no."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median, quantiles

from tests.bench.measures import FIGURES, Figure

Pair = tuple[float, float]  # ours, the peer's, in one round


def lines(
    pairs: Mapping[Figure, Sequence[Pair]], peer: str, *, ourselves: bool = False
) -> list[str]:
    """Markdown. Where the peer is another state of ``ourselves``, the goal of a CPU time or of
    memory is to be no more than there; speeds have none, as they follow what else runs."""
    out = [
        f"| measure | unit | ours | {peer} | ratio | middle half | spread | goal | |",
        "|---|---|--:|--:|--:|--:|--:|--:|---|",
    ]
    figures = [figure for figure in FIGURES if pairs.get(figure)]
    out += [_row(_no_worse(f) if ourselves else f, pairs[f]) for f in figures]
    return out


def _no_worse(figure: Figure) -> Figure:
    return replace(figure, goal=None if figure.more_is_better else 1.0)


def _row(figure: Figure, pairs: Sequence[Pair]) -> str:
    ratios = sorted(ours / theirs for ours, theirs in pairs)
    ratio = median(ratios)
    low, _, high = quantiles(ratios, method="inclusive") if len(ratios) > 1 else ratios * 3
    goal = ""
    if figure.goal is not None:
        goal = f"{'≥' if figure.more_is_better else '≤'} {figure.goal:g}"
    verdict = {True: "yes", False: "no", None: ""}[figure.met(ratio)]
    return (
        f"| {figure.name} | {figure.unit} | {_number(median(p[0] for p in pairs))} "
        f"| {_number(median(p[1] for p in pairs))} | {ratio:.2f} "
        f"| {low:.2f}–{high:.2f} | {ratios[0]:.2f}–{ratios[-1]:.2f} | {goal} | {verdict} |"
    )


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
