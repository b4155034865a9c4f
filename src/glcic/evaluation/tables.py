"""Tables of mean scores by method, and the few numbers by which configurations are compared."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glcic.evaluation.definitions import ALL, HEADLINE_METRICS

Images = Mapping[str, Mapping[str, int]]  # mask set → method → number of images that it was scored on
KEYS = ("mask_set", "method", "images")  # columns of methods.csv besides the metrics
Clusters = NDArray[np.int64]  # (images,), consecutive numbers from 0: the person on each image
Scores = dict[str, float | None]  # metric → mean over the images with a finite score; None if there are none


class SetScores(NamedTuple):
    """Scores of methods on one mask set.

    Attributes:
        images: a row per method and image that it completed: mask_set, method, row, file, identity, top, left, height,
            width, area_ratio, margin, brightness of the hole and the image, and the metrics.
        sets: scores of the whole set, {method: {metric: score}}: `definitions.LOOKS`, and those of
            `definitions.OF_SETS` that were asked for.
        looks: a row per method and group of people that is left out: mask_set, method, and `looks.compare`'s columns.
    """

    images: pd.DataFrame
    sets: dict[str, dict[str, float]]
    looks: pd.DataFrame


def clusters_of(images: pd.DataFrame) -> Clusters:
    """Assign each image to a cluster, (images,).

    Images with the same `identity` form a cluster; an image without one is a cluster by itself, known by its `row`.
    """
    alone = "image " + images["row"].astype(str)
    return pd.factorize(alone.where(images["identity"].isna(), "person " + images["identity"].astype(str)))[0]


def metrics_of(columns: pd.Index) -> list[str]:
    """Select the metrics among the columns of a table, in the order of `definitions.ALL`."""
    return [metric for metric in ALL if metric in columns]


def means(scores: pd.DataFrame) -> dict[str, dict[str, Scores]]:
    """Average scores over images.

    Args:
        scores: a row per mask set, method and image.

    Returns:
        {mask set: {method: mean scores}}, rounded to 1e-6.
    """
    finite = scores.replace([np.inf, -np.inf], np.nan)
    metrics = metrics_of(scores.columns)
    result: dict[str, dict[str, Scores]] = {}
    for (mask_set, method), group in finite.groupby(["mask_set", "method"], sort=False):
        result.setdefault(str(mask_set), {})[str(method)] = {
            metric: rounded(group[metric].mean()) for metric in metrics
        }
    return result


def means_of(found: Iterable[SetScores]) -> dict[str, dict[str, Scores]]:
    """Average scores over images, and add the metrics of whole sets.

    Args:
        found: the result of `Scorer.score` for each mask set.

    Returns:
        {mask set: {method: scores}}, rounded to 1e-6.
    """
    result: dict[str, dict[str, Scores]] = {}
    for scored in found:
        for mask_set, by_method in means(scored.images).items():
            result[mask_set] = {
                method: by | {name: rounded(value) for name, value in scored.sets.get(method, {}).items()}
                for method, by in by_method.items()
            }
    return result


def rounded(value: float) -> float | None:
    """Round to 1e-6; None if the value is undefined or infinite."""
    return round(float(value), 6) if np.isfinite(value) else None


def images_of(scores: pd.DataFrame) -> Images:
    """Count the images that each method was scored on, undefined scores included.

    Args:
        scores: a row per mask set, method and image.
    """
    return {
        str(mask_set): {str(method): len(rows) for method, rows in of_set.groupby("method", sort=False)}
        for mask_set, of_set in scores.groupby("mask_set", sort=False)
    }


def write_methods(methods: Mapping[str, Mapping[str, Scores]], images: Images | None = None) -> str:
    """Format scores as CSV text with the columns mask_set, method, images and the metrics.

    Undefined scores are empty cells.

    Args:
        methods: {mask set: {method: scores}}.
        images: {mask set: {method: number of images scored}}; None: unknown, without the column.
    """
    text = io.StringIO()
    first = next(iter(next(iter(methods.values())).values()))
    keys = KEYS if images else [key for key in KEYS if key != "images"]
    writer = csv.DictWriter(text, [*keys, *first], lineterminator="\n")
    writer.writeheader()
    for mask_set, by_method in methods.items():
        for method, scores in by_method.items():
            counted = {"images": images[mask_set][method]} if images else {}
            writer.writerow({"mask_set": mask_set, "method": method, **counted, **scores})
    return text.getvalue()


def read_methods(text: str) -> dict[str, dict[str, Scores]]:
    """Parse the text of `write_methods` into {mask set: {method: scores}}. Reports of before have no column images.

    Raises:
        KeyError: a column is missing or is not a metric.
        ValueError: a score is not a number.
    """
    result: dict[str, dict[str, Scores]] = {}
    table = csv.DictReader(io.StringIO(text))
    metrics = [name for name in table.fieldnames or () if name not in KEYS]
    if unknown := [name for name in metrics if name not in ALL]:
        raise KeyError(unknown[0])
    for row in table:
        mask_set, method = row["mask_set"], row["method"]
        scores = {metric: float(row[metric]) if row[metric] else None for metric in metrics}
        result.setdefault(mask_set, {})[method] = scores
    return result


def headline(
    val: Mapping[str, Mapping[str, Scores]], test: Mapping[str, Mapping[str, Scores]]
) -> dict[str, dict[str, float | None]]:
    """Average the scores of the method `completion` over mask sets, for reports/metrics.json.

    Args:
        val: {mask set: {method: scores}} on the validation split.
        test: the same on the test split.

    Returns:
        {split: {metric: mean}}, rounded to 1e-6; None if the score of a mask set is undefined.
    """
    return {
        split: {
            metric: _mean([methods["completion"][metric] for methods in sets.values()]) for metric in HEADLINE_METRICS
        }
        for split, sets in {"val": val, "test": test}.items()
    }


def _mean(scores: Sequence[float | None]) -> float | None:
    known = [score for score in scores if score is not None]
    return rounded(sum(known) / len(known)) if len(known) == len(scores) else None
