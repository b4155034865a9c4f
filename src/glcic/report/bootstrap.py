"""How sure a mean is: percentile bootstrap intervals, and paired differences between methods.

The images of one person are no independent observations: a completion that fails on a face tends to fail on the next
photo of the same face. So it is people that are drawn with replacement, each with all of their images (cluster
bootstrap: Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8), and images only where
nobody knows who is on them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glcic.evaluation.tables import metrics_of

WORD = b"bootstrap"  # beside the seed: this randomness is nobody else's
DRAWN_AT_ONCE = 2**22  # counts, so that many images need no more memory than few

Floats = NDArray[np.float64]
Clusters = NDArray[np.int64]  # (images,), numbers from 0, none left out: who is on each image


@dataclass(frozen=True)
class Totals:
    """What a mean is made of, cluster by cluster, for several means at once: each (clusters, means).

    Attributes:
        sums: of the finite values.
        numbers: how many these are.
    """

    sums: Floats
    numbers: Floats

    @property
    def means(self) -> Floats:
        """(means,); NaN where no value is finite."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.sums.sum(axis=0) / self.numbers.sum(axis=0))

    @property
    def clusters(self) -> NDArray[np.int64]:
        """(means,): how many clusters have a finite value."""
        return np.count_nonzero(self.numbers, axis=0)


def totals(values: Floats, clusters: Clusters) -> Totals:
    """Sums of values (images, means) over the images of each cluster; NaN and infinities are passed over."""
    finite = np.isfinite(values)
    shape = (int(clusters.max()) + 1, values.shape[1])
    sums, numbers = np.zeros(shape), np.zeros(shape)
    np.add.at(sums, clusters, np.where(finite, values, 0))
    np.add.at(numbers, clusters, finite)
    return Totals(sums, numbers)


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are made; the same seed draws the same clusters for everything that is asked.

    Attributes:
        resamples: how often as many clusters as there are are drawn with replacement.
        confidence: share of the resampled means that lies within the interval.
    """

    resamples: int
    confidence: float
    seed: int

    def interval(self, of: Totals) -> tuple[Floats, Floats]:
        """Lower and upper end for each mean, (means,) each.

        A resampled mean is the sum over the images of the people drawn by the number of these images. NaN where fewer
        than two clusters have a finite value: nothing tells how another one would have done.
        """
        drawn = np.concatenate(list(self._resampled(of)))
        tail = 50 * (1 - self.confidence)
        low, high = np.full((2, drawn.shape[1]), np.nan)
        known = of.clusters >= 2
        if known.any():  # a resample without any image of a rare kind has no mean, and is passed over
            low[known], high[known] = np.nanpercentile(drawn[:, known], [tail, 100 - tail], axis=0)
        return low, high

    def estimates(self, of: Totals) -> pd.DataFrame:
        """A row for each mean: mean, low, high, images (whose value is finite), clusters (that have one)."""
        low, high = self.interval(of)
        images = of.numbers.sum(axis=0).astype(np.int64)
        return pd.DataFrame({"mean": of.means, "low": low, "high": high, "images": images, "clusters": of.clusters})

    def _resampled(self, of: Totals) -> Iterator[Floats]:
        """Means of the resamples, (resamples, means), some at a time."""
        clusters = len(of.sums)
        rng = np.random.default_rng([self.seed, *WORD])
        part = max(1, DRAWN_AT_ONCE // clusters)
        for start in range(0, self.resamples, part):
            size = min(part, self.resamples - start)
            times = rng.multinomial(clusters, np.full(clusters, 1 / clusters), size).astype(np.float64)
            with np.errstate(invalid="ignore"):
                yield (times @ of.sums) / (times @ of.numbers)


def clusters_of(images: pd.DataFrame) -> Clusters:
    """Who is on each image: images of one `identity` belong together, one without stands for itself, by its `row`."""
    alone = "image " + images["row"].astype(str)
    return pd.factorize(alone.where(images["identity"].isna(), "person " + images["identity"].astype(str)))[0]


def names_of(column: pd.Series) -> list[str]:
    """What a column has, in its order."""
    return [str(name) for name in column.unique()]


def by_image(scores: pd.DataFrame, metrics: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores with the methods side by side.

    Args:
        scores: of one split; a row per mask set, image and method.

    Returns:
        The images (what is the same for all methods), and their scores, with columns (metric, method); both have a row
        per mask set and image, in the same order.
    """
    methods = names_of(scores["method"])
    wide = scores.pivot(index=["mask_set", "row"], columns="method", values=metrics)
    wide = wide.reindex(columns=pd.MultiIndex.from_product([metrics, methods]))
    about = scores.drop(columns=["method", *metrics]).drop_duplicates(["mask_set", "row"])
    return about.set_index(["mask_set", "row"], drop=False).loc[wide.index].reset_index(drop=True), wide


def intervals(scores: pd.DataFrame, bootstrap: Bootstrap) -> pd.DataFrame:
    """The mean over images of every metric, with its interval.

    Args:
        scores: of one split; a row per mask set, image and method.

    Returns:
        mask_set, method, metric, mean, low, high, images (whose score is finite), undefined (the others), clusters
        (people, or images where these are unknown). What is undefined is NaN.
    """
    parts = []
    metrics = metrics_of(scores.columns)
    for mask_set, of_set in scores.groupby("mask_set", sort=False):
        images, wide = by_image(of_set, metrics)
        columns = [(metric, method) for method in names_of(of_set["method"]) for metric in metrics]
        rows = [(mask_set, method, metric) for metric, method in columns]
        names = pd.DataFrame(rows, columns=["mask_set", "method", "metric"])
        estimates = bootstrap.estimates(totals(wide[columns].to_numpy(np.float64), clusters_of(images)))
        estimates.insert(4, "undefined", len(images) - estimates["images"])
        parts.append(names.join(estimates))
    return pd.concat(parts, ignore_index=True)


def differences(scores: pd.DataFrame, method: str, bootstrap: Bootstrap) -> pd.DataFrame:
    """How much better or worse a method is than every other one, image by image.

    Args:
        scores: of one split; a row per mask set, image and method.

    Returns:
        mask_set, metric, method, other, difference (mean over images of method − other), low, high, images (where both
        are finite). What is undefined is NaN.
    """
    columns = ["mask_set", "metric", "method", "other", "difference", "low", "high", "images"]
    parts = []
    metrics = metrics_of(scores.columns)
    for mask_set, of_set in scores.groupby("mask_set", sort=False):
        images, wide = by_image(of_set, metrics)
        others = [other for other in names_of(of_set["method"]) if other != method]
        if not others:
            continue
        first = wide[[(metric, method) for metric in metrics for _ in others]].to_numpy(np.float64)
        second = wide[[(metric, other) for metric in metrics for other in others]].to_numpy(np.float64)
        with np.errstate(invalid="ignore"):  # ∞ − ∞
            estimates = bootstrap.estimates(totals(first - second, clusters_of(images)))
        pairs = [(mask_set, metric, method, other) for metric in metrics for other in others]
        names = pd.DataFrame(pairs, columns=columns[:4])
        parts.append(names.join(estimates.rename(columns={"mean": "difference"}))[columns])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def sign(low: float, high: float, higher: bool) -> int:
    """Whether the first of a pair is better (1), worse (−1), or neither (0), by the interval of first − second.

    Args:
        higher: whether higher is better in this metric.
    """
    above, below = low > 0, high < 0  # both False for NaN
    return (int(above) - int(below)) * (1 if higher else -1)


def in_words(low: float, high: float, higher: bool, first: str, second: str) -> str:
    """What the interval of first − second says: who beats whom, or that the evidence does not tell."""
    if np.isnan(low) or np.isnan(high):
        return f"{first} and {second} cannot be compared"
    return {
        1: f"{first} beats {second}",
        -1: f"{second} beats {first}",
        0: f"{first} and {second} are not told apart",
    }[sign(low, high, higher)]
