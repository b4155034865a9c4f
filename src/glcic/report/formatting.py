"""Numbers, tables and findings as text for readers."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from glcic.evaluation.definitions import ALL, METHODS
from glcic.report.bootstrap import in_words, sign
from glcic.report.report_data import METHOD, records
from glcic.report.slices import POOLED, SLICES

UNDEFINED = "–"


def number(value: float | None, digits: int) -> str:
    """Format a number with a true minus sign, or a dash if it is undefined."""
    if value is None or not math.isfinite(value):
        return UNDEFINED
    text = f"{value:,.{digits}f}"
    if not text.strip("-0.,"):
        text = text.removeprefix("-")  # no minus before 0.00
    return text.replace("-", "−")


def interval(low: float | None, high: float | None, digits: int) -> str:
    """Format an interval as `[1.20, 1.35]`; empty if it is undefined."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"[{number(low, digits)}, {number(high, digits)}]"


def estimate(mean: float | None, low: float | None, high: float | None, digits: int) -> str:
    """Format a mean with its interval as `1.27 [1.20, 1.35]`."""
    return f"{number(mean, digits)} {interval(low, high, digits)}".strip()


def listed(words: Iterable[str]) -> str:
    """Join words as `a, b and c`."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def method_title(name: str) -> str:
    """Return the title of a method; unknown names are shown with spaces for underscores."""
    return METHODS.get(name, name.replace("_", " "))


def percent(share: float) -> str:
    """Format a share as a percentage: `95 %` for 0.95."""
    return f"{100 * share:g} %"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a Markdown table, with columns that are also aligned as plain text."""
    widths = [max(3, *(len(row[i]) for row in [header, *rows])) for i in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        f"| {' | '.join(text.ljust(width) for text, width in zip(line, widths, strict=True))} |" for line in lines
    )


def comparisons(differences: pd.DataFrame, mask_set: str) -> list[str]:
    """Describe the paired differences on a mask set in sentences, clear results in all metrics first.

    Metrics without an interval (no image has both scores, or all images show one person) are left out.
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
    metrics = f"each of the {table['metric'].nunique()} metrics compared"
    sentences = []
    for outcome, others in everywhere.items():
        if others:
            names = listed(method_title(other) for other in others)
            sentences.append(
                {
                    1: f"{METHOD} beats {names} in {metrics}.",
                    -1: f"{names} beat{'s' if len(others) == 1 else ''} {METHOD} in {metrics}.",
                    0: f"{METHOD} does not clearly differ from {names} in any metric.",
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
    """Format a paired difference with its sign and interval, with one decimal more than the scores."""
    digits += 1
    plus = "+" if row.difference > 0 else ""
    return plus + estimate(row.difference, row.low, row.high, digits)


def failures(slices: pd.DataFrame, metric: str = "l1_hole") -> list[str]:
    """Describe in a sentence per slice where the generator does worst and best, if the intervals do not overlap."""
    of_method = (slices["mask_set"] == POOLED) & (slices["method"] == METHOD) & (slices["metric"] == metric)
    table, about = slices[of_method].dropna(subset=["mean"]), ALL[metric]
    sentences = []
    for name, rows in table.groupby("slice", sort=False):
        if len(rows) < 2:
            continue
        best, worst = sorted(records(rows), key=lambda row: row.mean, reverse=about.higher)[:: len(rows) - 1]
        apart = best.high < worst.low or worst.high < best.low  # False for NaN
        means = [estimate(row.mean, row.low, row.high, about.digits) for row in (best, worst)]
        told = (
            f"worst for “{worst.bin}”, {means[1]}; best for “{best.bin}”, {means[0]}"
            if apart
            else f"no clear difference: {means[0]} for “{best.bin}”, {means[1]} for “{worst.bin}”"
        )
        sentences.append(f"By {SLICES[str(name)]}: {told}.")
    return sentences
