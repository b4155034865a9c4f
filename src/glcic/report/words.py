"""Numbers and findings as people read them."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from glcic.evaluation.definitions import ALL, METHODS
from glcic.report.bootstrap import in_words, sign
from glcic.report.contents import METHOD, records
from glcic.report.slices import POOLED, SLICES

UNDEFINED = "–"


def number(value: float | None, digits: int) -> str:
    """With a true minus; a dash for what is undefined."""
    if value is None or not math.isfinite(value):
        return UNDEFINED
    text = f"{value:,.{digits}f}"
    if not text.strip("-0.,"):
        text = text.removeprefix("-")  # no minus before 0.00
    return text.replace("-", "−")


def interval(low: float | None, high: float | None, digits: int) -> str:
    """`[1.20, 1.35]`; empty for what is undefined."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"[{number(low, digits)}, {number(high, digits)}]"


def estimate(mean: float | None, low: float | None, high: float | None, digits: int) -> str:
    """`1.27 [1.20, 1.35]`."""
    return f"{number(mean, digits)} {interval(low, high, digits)}".strip()


def listed(words: Iterable[str]) -> str:
    """`a, b and c`."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def method_title(name: str) -> str:
    return METHODS.get(name, name.replace("_", " "))


def percent(share: float) -> str:
    """`95 %` of 0.95."""
    return f"{100 * share:g} %"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown whose columns stand one below the other on a terminal, too."""
    widths = [max(3, *(len(row[i]) for row in [header, *rows])) for i in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        f"| {' | '.join(text.ljust(width) for text, width in zip(line, widths, strict=True))} |" for line in lines
    )


def comparisons(differences: pd.DataFrame, mask_set: str) -> list[str]:
    """What the paired differences on a mask set say, in sentences: first who wins in every metric.

    Metrics in which nothing is known (no image where both are defined, or images of one person) are left out.
    """
    table = differences[differences["mask_set"] == mask_set].dropna(subset=["low", "high"])
    everywhere: dict[int, list[str]] = {1: [], -1: [], 0: []}
    mixed = []
    for other, rows in table.groupby("other", sort=False):
        found = {sign(row.low, row.high, ALL[row.metric].higher) for row in records(rows)}
        if len(found) == 1:
            everywhere[found.pop()].append(str(other))
        else:
            mixed += [_metric_by_metric(rows, str(other))]
    metrics = f"each of the {table['metric'].nunique()} metrics"
    sentences = []
    for outcome, others in everywhere.items():
        if others:
            names = listed(method_title(other) for other in others)
            sentences.append(
                {
                    1: f"{METHOD} beats {names} in {metrics}.",
                    -1: f"{names} beat{'s' if len(others) == 1 else ''} {METHOD} in {metrics}.",
                    0: f"{METHOD} and {names} are not told apart in any of the metrics.",
                }[outcome]
            )
    return sentences + mixed


def _metric_by_metric(rows: pd.DataFrame, other: str) -> str:
    by_outcome: dict[str, list[str]] = {}
    for row in records(rows):
        metric = ALL[row.metric]
        said = in_words(row.low, row.high, metric.higher, METHOD, method_title(other))
        by_outcome.setdefault(said, []).append(f"{metric.title} ({change(row, metric.digits)})")
    return "; ".join(f"{said} in {listed(metrics)}" for said, metrics in by_outcome.items()) + "."


def change(row: Any, digits: int) -> str:
    """A paired difference with its sign and interval, a digit more than the scores: it is about small ones."""
    digits += 1
    plus = "+" if row.difference > 0 else ""
    return plus + estimate(row.difference, row.low, row.high, digits)


def failures(slices: pd.DataFrame, metric: str = "l1_hole") -> list[str]:
    """For each kind of slice, where the completion network does worst and best, if the intervals are apart."""
    of_method = (slices["mask_set"] == POOLED) & (slices["method"] == METHOD) & (slices["metric"] == metric)
    table, about = slices[of_method].dropna(subset=["mean"]), ALL[metric]
    sentences = []
    for name, rows in table.groupby("slice", sort=False):
        if len(rows) < 2:
            continue
        best, worst = sorted(records(rows), key=lambda row: row.mean, reverse=about.higher)[:: len(rows) - 1]
        apart = best.high < worst.low or worst.high < best.low  # False for NaN
        first, last = (f"“{row.bin}”, {estimate(row.mean, row.low, row.high, about.digits)}" for row in (best, worst))
        told = f"worst for {last}; best for {first}" if apart else f"from {first} to {last}, no clear difference"
        sentences.append(f"By {SLICES[str(name)]}: {told}.")
    return sentences
