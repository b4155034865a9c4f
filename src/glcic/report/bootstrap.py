"""Bootstrap intervals of means, and of paired differences between methods.

Images of the same person are not independent observations: if a method fails on one photo of a face, it tends to fail
on the next one. Therefore people are drawn with replacement, each with all of their images (cluster bootstrap: Davison
and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8). Single images are drawn only if it is not
known who they show.

An interval is mean ± t · standard error. The error is that of the resampled means, and t has one degree of freedom less
than there are people (Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician, 2015): with
few people, percentiles of the resampled means are too close together. tools/interval_coverage.py compares both.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from glcic.evaluation.tables import Clusters, clusters_of, metrics_of

WORD = b"bootstrap"  # added to the seed, to give a separate stream of random numbers
DRAWN_AT_ONCE = 2**22  # counts per batch of resamples, which limits memory

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Totals:
    """Sums and counts of values in each cluster, for several means at once.

    Attributes:
        sums: sums of the finite values, (clusters, means).
        numbers: counts of the finite values, (clusters, means).
    """

    sums: Floats
    numbers: Floats

    @property
    def means(self) -> Floats:
        """Means over all clusters, (means,); NaN where no value is finite."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.sums.sum(axis=0) / self.numbers.sum(axis=0))

    @property
    def clusters(self) -> NDArray[np.int64]:
        """Number of clusters with a finite value, (means,)."""
        return np.count_nonzero(self.numbers, axis=0)


def totals(values: Floats, clusters: Clusters) -> Totals:
    """Sum values (images, means) over the images of each cluster, ignoring NaN and infinities.

    Args:
        values: a row per image, a column per mean.
        clusters: the cluster of each image, (images,).
    """
    finite = np.isfinite(values)
    shape = (int(clusters.max()) + 1, values.shape[1])
    sums, numbers = np.zeros(shape), np.zeros(shape)
    np.add.at(sums, clusters, np.where(finite, values, 0))
    np.add.at(numbers, clusters, finite)
    return Totals(sums, numbers)


@dataclass(frozen=True)
class Bootstrap:
    """Settings of the bootstrap. With the same seed, every call draws the same clusters.

    Attributes:
        bootstrap_samples: number of resamples; each draws as many clusters as there are, with replacement.
        confidence_level: fraction of the intervals that contain the true mean, in (0, 1).
        seed: seed of the random draws.
    """

    bootstrap_samples: int
    confidence_level: float
    seed: int

    def interval(self, of: Totals) -> tuple[Floats, Floats]:
        """Compute the lower and upper ends of the intervals, (means,) each.

        A resampled mean is the sum over the images of the people drawn, divided by the number of these images. Ends
        are NaN if fewer than two clusters have a finite value, because then the variation is unknown.
        """
        drawn = np.concatenate(list(self._resampled(of)))
        low, high = np.full((2, drawn.shape[1]), np.nan)
        known = of.clusters >= 2
        if known.any():  # resamples without any image of a rare kind have no mean and are ignored
            clusters = of.clusters[known]
            # A resample varies around the mean of those drawn from, not around the true one.
            error = np.sqrt(clusters / (clusters - 1)) * np.nanstd(drawn[:, known], axis=0)
            reach = stdtrit(clusters - 1, (1 + self.confidence_level) / 2) * error
            low[known], high[known] = of.means[known] - reach, of.means[known] + reach
        return low, high

    def estimates(self, of: Totals) -> pd.DataFrame:
        """Tabulate a row per mean: mean, low, high, images and clusters (numbers of those with a finite value)."""
        low, high = self.interval(of)
        images = of.numbers.sum(axis=0).astype(np.int64)
        return pd.DataFrame({"mean": of.means, "low": low, "high": high, "images": images, "clusters": of.clusters})

    def _resampled(self, of: Totals) -> Iterator[Floats]:
        """Yield the means of the resamples, (bootstrap_samples, means), in batches."""
        clusters = len(of.sums)
        rng = np.random.default_rng([self.seed, *WORD])
        part = max(1, DRAWN_AT_ONCE // clusters)
        for start in range(0, self.bootstrap_samples, part):
            size = min(part, self.bootstrap_samples - start)
            times = rng.multinomial(clusters, np.full(clusters, 1 / clusters), size).astype(np.float64)
            with np.errstate(invalid="ignore"):
                yield (times @ of.sums) / (times @ of.numbers)


def names_of(column: pd.Series) -> list[str]:
    """List the distinct values of a column, in order of appearance."""
    return [str(name) for name in column.unique()]


def by_image(scores: pd.DataFrame, metrics: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Arrange the scores of all methods side by side.

    Args:
        scores: scores on one split; a row per mask set, image and method.
        metrics: columns to arrange.

    Returns:
        A table of the images, with the columns that all methods share, and a table of the scores, with the columns
        (metric, method). Both have a row per mask set and image, in the same order.
    """
    methods = names_of(scores["method"])
    wide = scores.pivot(index=["mask_set", "row"], columns="method", values=metrics)
    wide = wide.reindex(columns=pd.MultiIndex.from_product([metrics, methods]))
    about = scores.drop(columns=["method", *metrics]).drop_duplicates(["mask_set", "row"])
    return about.set_index(["mask_set", "row"], drop=False).loc[wide.index].reset_index(drop=True), wide


def scored_alike(scores: pd.DataFrame) -> list[tuple[frozenset[int], list[str]]]:
    """Group methods by the images that they were scored on.

    Args:
        scores: scores on one mask set; a row per image and method.

    Returns:
        Rows of the images in images.npy, and the methods that were scored on exactly these.
    """
    groups: dict[frozenset[int], list[str]] = {}
    for method, rows in scores.groupby("method", sort=False)["row"]:
        groups.setdefault(frozenset(rows), []).append(str(method))
    return list(groups.items())


def _in_order(parts: list[pd.DataFrame], **columns: list[str]) -> pd.DataFrame:
    """Put tables together and sort their rows by columns with known values, the first column first."""
    table = pd.concat(parts, ignore_index=True)
    ranks = [[values.index(value) for value in table[name]] for name, values in columns.items()]
    return table.iloc[np.lexsort(ranks[::-1])]  # whose last key counts first


def intervals(scores: pd.DataFrame, bootstrap: Bootstrap) -> pd.DataFrame:
    """Compute the mean of every metric over the images that a method was scored on, with its interval.

    Args:
        scores: scores on one split; a row per mask set, image and method.
        bootstrap: settings of the intervals.

    Returns:
        A table with the columns mask_set, method, metric, mean, low, high, images (number of images with a finite
        score), undefined (number of the others), clusters (number of people, or of images if people are unknown).
        Undefined values are NaN.
    """
    parts = []
    metrics = metrics_of(scores.columns)
    for mask_set, of_set in scores.groupby("mask_set", sort=False):
        of_groups = []
        for _, methods in scored_alike(of_set):
            images, wide = by_image(of_set[of_set["method"].isin(methods)], metrics)
            columns = [(metric, method) for method in methods for metric in metrics]
            rows = [(mask_set, method, metric) for metric, method in columns]
            names = pd.DataFrame(rows, columns=["mask_set", "method", "metric"])
            estimates = bootstrap.estimates(totals(wide[columns].to_numpy(np.float64), clusters_of(images)))
            estimates.insert(4, "undefined", len(images) - estimates["images"])
            of_groups.append(names.join(estimates))
        parts.append(_in_order(of_groups, method=names_of(of_set["method"])))
    return pd.concat(parts, ignore_index=True)


def differences(scores: pd.DataFrame, method: str, bootstrap: Bootstrap) -> pd.DataFrame:
    """Compute paired differences between a method and every other one, over the images that both were scored on.

    Args:
        scores: scores on one split; a row per mask set, image and method.
        method: name of the method that is compared with the others.
        bootstrap: settings of the intervals.

    Returns:
        A table with the columns mask_set, metric, method, other, difference (mean over images of method − other), low,
        high, images (number of images where both scores are finite). Undefined values are NaN.
    """
    columns = ["mask_set", "metric", "method", "other", "difference", "low", "high", "images"]
    parts = []
    metrics = metrics_of(scores.columns)
    for mask_set, of_set in scores.groupby("mask_set", sort=False):
        of_groups = []
        own = frozenset(of_set.loc[of_set["method"] == method, "row"])
        for rows, methods in scored_alike(of_set):
            others = [other for other in methods if other != method]
            if not others:
                continue
            of_both = of_set[of_set["method"].isin([method, *others]) & of_set["row"].isin(rows & own)]
            images, wide = by_image(of_both, metrics)
            first = wide[[(metric, method) for metric in metrics for _ in others]].to_numpy(np.float64)
            second = wide[[(metric, other) for metric in metrics for other in others]].to_numpy(np.float64)
            with np.errstate(invalid="ignore"):  # ∞ − ∞
                estimates = bootstrap.estimates(totals(first - second, clusters_of(images)))
            pairs = [(mask_set, metric, method, other) for metric in metrics for other in others]
            names = pd.DataFrame(pairs, columns=columns[:4])
            of_groups.append(names.join(estimates.rename(columns={"mean": "difference"}))[columns])
        if of_groups:
            parts.append(_in_order(of_groups, metric=metrics, other=names_of(of_set["method"])))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def sign(low: float, high: float, higher: bool) -> int:
    """Compare a pair by the interval of first − second: 1 if the first is better, −1 if worse, 0 if unclear.

    Args:
        low: lower end of the interval.
        high: upper end of the interval.
        higher: whether higher is better in this metric.
    """
    above, below = low > 0, high < 0  # both False for NaN
    return (int(above) - int(below)) * (1 if higher else -1)


def in_words(low: float, high: float, higher: bool, first: str, second: str) -> str:
    """Describe a paired comparison in words, by the interval of first − second (see `sign`)."""
    if np.isnan(low) or np.isnan(high):
        return f"{first} and {second} cannot be compared"
    return {
        1: f"{first} beats {second}",
        -1: f"{second} beats {first}",
        0: f"{first} does not clearly differ from {second}",
    }[sign(low, high, higher)]
