"""Jackknife intervals of scores of whole mask sets, and of their differences between methods.

Such a score has no value of one image, so there is nothing to resample quickly. `evaluate` computes it again without
one group of people after the other (delete-a-group jackknife: Kott, The Delete-a-Group Jackknife, Journal of Official
Statistics, 2001). An interval is score ± t · standard error, with one degree of freedom less than there are groups.

It is an interval of what the score of so many images varies around. A distance between sets is larger, the fewer images
there are, since two small sets differ by chance; no interval covers that.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from glcic.evaluation.definitions import LOOKS

KEYS = ["mask_set", "method"]


def standard_error(without: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard errors, (scores,), from scores without each group, (groups, scores); NaN for fewer than two groups."""
    groups = len(without)
    if groups < 2:
        return np.full(without.shape[1], np.nan)
    spread = np.square(without - without.mean(axis=0)).sum(axis=0)
    return np.asarray(np.sqrt(spread * (groups - 1) / groups))


def intervals(looks: pd.DataFrame, confidence_level: float) -> pd.DataFrame:
    """Tabulate scores of whole mask sets with their intervals.

    Args:
        looks: the table looks.csv.
        confidence_level: fraction of the intervals that contain the expected score of so many images, in (0, 1).

    Returns:
        A table with the columns mask_set, method, metric, mean (the score), low, high, images, undefined (0) and
        clusters (number of groups).
    """
    rows = []
    for (mask_set, method), of_method in looks.groupby(KEYS, sort=False):
        whole, without = _parts(of_method)
        for metric, *ends in _ends(whole[list(LOOKS)], without[list(LOOKS)], confidence_level):
            rows.append([mask_set, method, metric, *ends, int(whole["images"]), 0, len(without)])
    columns = [*KEYS, "metric", "mean", "low", "high", "images", "undefined", "clusters"]
    return pd.DataFrame(rows, columns=columns)


def differences(looks: pd.DataFrame, method: str, confidence_level: float) -> pd.DataFrame:
    """Tabulate paired differences between a method and every other one that was scored on the same images.

    Only of scores that are better the higher, or the lower, they are.

    Args:
        looks: the table looks.csv.
        method: name of the method that is compared with the others.
        confidence_level: fraction of the intervals that contain the expected difference, in (0, 1).

    Returns:
        A table with the columns mask_set, metric, method, other, difference (method − other), low, high, images.
    """
    metrics = [name for name, metric in LOOKS.items() if metric.ideal is None]
    rows = []
    for mask_set, of_set in looks.groupby("mask_set", sort=False):
        parts = {str(name): _parts(of_method) for name, of_method in of_set.groupby("method", sort=False)}
        if method not in parts:
            continue
        own, own_without = parts.pop(method)
        for other, (whole, without) in parts.items():
            if whole["images"] != own["images"]:
                continue
            both = own[metrics] - whole[metrics], own_without[metrics] - without[metrics]
            for metric, *ends in _ends(*both, confidence_level):
                rows.append([mask_set, metric, method, other, *ends, int(whole["images"])])
    columns = ["mask_set", "metric", "method", "other", "difference", "low", "high", "images"]
    return pd.DataFrame(rows, columns=columns)


def _parts(of_method: pd.DataFrame) -> tuple[pd.Series, pd.DataFrame]:
    """The row of all images, and the rows without a group, in the order of the groups."""
    whole = of_method["left_out"] == 0
    numbers = of_method.drop(columns=[*KEYS, "left_out"])
    return numbers[whole].iloc[0], numbers[~whole].reset_index(drop=True)


def _ends(whole: pd.Series, without: pd.DataFrame, confidence_level: float) -> list[tuple[str, float, float, float]]:
    """Name, score, lower and upper end of each score."""
    reach = stdtrit(max(1, len(without) - 1), (1 + confidence_level) / 2) * standard_error(without.to_numpy(np.float64))
    ends = zip(whole.index, whole.astype(float), reach, strict=True)
    return [(str(name), value, value - far, value + far) for name, value, far in ends]
