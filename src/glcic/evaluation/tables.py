"""What is reported of the scores: a table of all methods, and the few numbers that configurations are compared by."""

import csv
import io
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from glcic.evaluation.definitions import ALL, METRICS

Found = Sequence[tuple[pd.DataFrame, Mapping[str, Mapping[str, float]]]]  # scores of images and of the set, by method
Scores = dict[str, float | None]  # metric → mean over the images whose score is finite; None where there is none


def metrics_of(columns: pd.Index) -> list[str]:
    """The metrics among the columns of a table, in the order of definitions."""
    return [metric for metric in ALL if metric in columns]


def means(scores: pd.DataFrame) -> dict[str, dict[str, Scores]]:
    """{mask set: {method: scores}} of a table with one row per mask set, method and image; rounded to 1e-6."""
    finite = scores.replace([np.inf, -np.inf], np.nan)
    metrics = metrics_of(scores.columns)
    result: dict[str, dict[str, Scores]] = {}
    for (mask_set, method), group in finite.groupby(["mask_set", "method"], sort=False):
        result.setdefault(str(mask_set), {})[str(method)] = {
            metric: rounded(group[metric].mean()) for metric in metrics
        }
    return result


def means_of(found: Found) -> dict[str, dict[str, Scores]]:
    """{mask set: {method: scores}}, those of whole sets among them.

    Args:
        found: of each mask set, what `Evaluation.scores` gives.
    """
    result: dict[str, dict[str, Scores]] = {}
    for table, of_set in found:
        for mask_set, by_method in means(table).items():
            result[mask_set] = {
                method: by | {name: rounded(value) for name, value in of_set.get(method, {}).items()}
                for method, by in by_method.items()
            }
    return result


def rounded(value: float) -> float | None:
    """To 1e-6; None where it is undefined or infinite."""
    return round(float(value), 6) if np.isfinite(value) else None


def write_methods(methods: Mapping[str, Mapping[str, Scores]]) -> str:
    """All methods' scores as CSV text: mask_set, method and the metrics; an undefined score is an empty cell."""
    text = io.StringIO()
    first = next(iter(next(iter(methods.values())).values()))
    writer = csv.DictWriter(text, ["mask_set", "method", *first], lineterminator="\n")
    writer.writeheader()
    for mask_set, by_method in methods.items():
        for method, scores in by_method.items():
            writer.writerow({"mask_set": mask_set, "method": method, **scores})
    return text.getvalue()


def read_methods(text: str) -> dict[str, dict[str, Scores]]:
    """{mask set: {method: scores}} from the text that `write_methods` made.

    Raises:
        KeyError: a column is missing, or no metric.
        ValueError: a score is no number.
    """
    result: dict[str, dict[str, Scores]] = {}
    table = csv.DictReader(io.StringIO(text))
    metrics = [name for name in table.fieldnames or () if name not in ("mask_set", "method")]
    if unknown := [name for name in metrics if name not in ALL]:
        raise KeyError(unknown[0])
    for row in table:
        mask_set, method = row["mask_set"], row["method"]
        scores = {metric: float(row[metric]) if row[metric] else None for metric in metrics}
        result.setdefault(mask_set, {})[method] = scores
    return result


def headline(val: Mapping[str, Mapping[str, Scores]], test: Mapping[str, Mapping[str, Scores]]) -> dict[str, object]:
    """{split: {mask set: scores}} of the method `completion`: what reports/metrics.json holds."""
    splits = {"val": val, "test": test}
    return {
        split: {name: {metric: methods["completion"][metric] for metric in METRICS} for name, methods in sets.items()}
        for split, sets in splits.items()
    }
