"""What is reported of the scores: a table of all methods, and the few numbers that configurations are compared by."""

import csv
import io
from collections.abc import Mapping

import numpy as np
import pandas as pd

from glcic.evaluation.metrics import METRICS

Scores = dict[str, float | None]  # metric → mean over the images whose score is finite; None where there is none


def means(scores: pd.DataFrame) -> dict[str, dict[str, Scores]]:
    """{mask set: {method: scores}} of a table with one row per mask set, method and image; rounded to 1e-6."""
    finite = scores.replace([np.inf, -np.inf], np.nan)
    result: dict[str, dict[str, Scores]] = {}
    for (mask_set, method), group in finite.groupby(["mask_set", "method"], sort=False):
        values = {metric: group[metric].mean() for metric in METRICS}
        rounded: Scores = {metric: None if pd.isna(mean) else round(float(mean), 6) for metric, mean in values.items()}
        result.setdefault(str(mask_set), {})[str(method)] = rounded
    return result


def write_methods(methods: Mapping[str, Mapping[str, Scores]]) -> str:
    """All methods' scores as CSV text: mask_set, method and the metrics; an undefined score is an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, ["mask_set", "method", *METRICS], lineterminator="\n")
    writer.writeheader()
    for mask_set, by_method in methods.items():
        for method, scores in by_method.items():
            writer.writerow({"mask_set": mask_set, "method": method, **scores})
    return text.getvalue()


def read_methods(text: str) -> dict[str, dict[str, Scores]]:
    """{mask set: {method: scores}} from the text that `write_methods` made."""
    result: dict[str, dict[str, Scores]] = {}
    for row in csv.DictReader(io.StringIO(text)):
        scores = {metric: float(row[metric]) if row[metric] else None for metric in METRICS}
        result.setdefault(row["mask_set"], {})[row["method"]] = scores
    return result


def headline(val: Mapping[str, Mapping[str, Scores]], test: Mapping[str, Mapping[str, Scores]]) -> dict[str, object]:
    """{split: {mask set: scores}} of the method `completion`: what reports/metrics.json holds."""
    splits = {"val": val, "test": test}
    return {split: {name: methods["completion"] for name, methods in sets.items()} for split, sets in splits.items()}
