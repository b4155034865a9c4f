"""Mean scores on slices of the images, by hole area, hole position and brightness, to show where a method fails."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glcic.evaluation.tables import metrics_of
from glcic.report.bootstrap import Bootstrap, Totals, by_image, clusters_of, names_of, totals

POOLED = "pooled"  # stands for several mask sets together, see `pooled`
RATIOS = (0, 1, 10, 20, 30, 40, 50, 60, 100)  # percent of the image; bin edges, the upper one inclusive
MARGINS = {
    "touches": 0.0,
    "up to 10 %": 10.0,
    "up to 20 %": 20.0,
    "over 20 %": np.inf,
}  # percent of S; upper bin edges, inclusive
BRIGHTNESS = ("dark", "medium", "bright")
SLICES = {"area_ratio": "hole area", "margin": "distance of the hole from the edge", "brightness": "brightness"}
# Methods without training; `nearest` only memorizes the training images.
CLASSICAL = ("mean_fill", "telea", "navier_stokes", "biharmonic", "nearest")


def pooled(name: str, mask_sets: Iterable[str]) -> list[str]:
    """Select the mask sets that may be pooled for a slice, because they do not differ in any other relevant way.

    These are the brush strokes for the hole area; `box` and `border`, with boxes of the same sizes, for the distance
    from the edge; and all mask sets for the brightness, since each has every image once. With other mask sets, a
    difference between bins could be one between mask sets.
    """
    fit: dict[str, Callable[[str], bool]] = {
        "area_ratio": lambda one: one.startswith("strokes_"),
        "margin": lambda one: one in ("box", "border"),
        "brightness": lambda _: True,
    }
    return [one for one in mask_sets if fit[name](one)]


def kinds(images: pd.DataFrame, size: int) -> dict[tuple[str, str], NDArray[np.bool_]]:
    """Sort images into the bins of each slice.

    Args:
        images: a table with the columns row, area_ratio in (0, 1], margin in pixels, and brightness in [0, 1].
        size: side S of the images, in pixels.

    Returns:
        {(slice, bin): mask of the rows of `images` in that bin, (len(images),)}, without empty bins.
    """
    found: dict[tuple[str, str], NDArray[np.bool_]] = {}
    ratio = 100 * images["area_ratio"].to_numpy(np.float64)
    ends = np.asarray(RATIOS) + 1e-9  # 0.1 of the image is 10.000000000000002 %
    for low, high, i in zip(RATIOS, RATIOS[1:], np.arange(len(RATIOS)), strict=False):
        found["area_ratio", f"{low}–{high} %"] = (ratio > (ends[i] if i else 0)) & (ratio <= ends[i + 1])
    distance, below = 100 * images["margin"].to_numpy(np.float64) / size, -np.inf
    for name, end in MARGINS.items():
        found["margin", name] = (distance > below) & (distance <= end)
        below = end
    # Thirds of the images, regardless of how often an image is completed.
    brightness = images["brightness"].to_numpy(np.float64)
    edges = np.quantile(images.drop_duplicates("row")["brightness"], [1 / 3, 2 / 3])
    third = np.searchsorted(edges, brightness)
    found |= {("brightness", name): third == i for i, name in enumerate(BRIGHTNESS)}
    return {kind: which for kind, which in found.items() if which.any()}


def shown_methods(scores: pd.DataFrame) -> list[str]:
    """Select the methods to analyze: the generator after and before the joint phase, and the best classical method.

    The best one has the lowest L1 over the hole, on the images that all classical methods were scored on. The others
    fail in similar ways and would triple the table's size.
    """
    methods = names_of(scores["method"])
    wide = scores[scores["method"].isin(CLASSICAL)].pivot(index=["mask_set", "row"], columns="method", values="l1_hole")
    classical = wide.dropna(axis="columns", how="all").dropna().mean()
    best = [str(classical.idxmin())] if len(classical) else []
    return [name for name in ("completion", "pretrained") if name in methods] + best


def slices(scores: pd.DataFrame, methods: Sequence[str], size: int, bootstrap: Bootstrap) -> pd.DataFrame:
    """Compute mean scores in each bin, for each mask set and for the pooled mask sets.

    The bootstrap draws from all people of the mask set, and averages over those of their images that are in the bin
    and that the method was scored on.

    Args:
        scores: scores on one split; a row per mask set, image and method.
        methods: names of the methods to include.
        size: side S of the images, in pixels.
        bootstrap: settings of the intervals.

    Returns:
        A table with the columns mask_set (or `pooled`), method, slice, bin, metric, mean, low, high, images (number of
        images with a finite score). Undefined values are NaN.
    """
    metrics = metrics_of(scores.columns)
    images, wide = by_image(scores[scores["method"].isin(methods)], metrics)
    columns = [(metric, method) for method in methods for metric in metrics]
    values = wide[columns].to_numpy(np.float64)
    which_kind = kinds(images, size)
    mask_sets = names_of(scores["mask_set"])
    parts = []
    for mask_set in [*mask_sets, POOLED]:
        taken = {name: pooled(name, mask_sets) if mask_set == POOLED else [mask_set] for name in SLICES}
        within = {name: images["mask_set"].isin(sets).to_numpy() for name, sets in taken.items()}
        chosen = within["brightness"]  # all images in any slice
        clusters = clusters_of(images[chosen])
        here = {
            kind: which[chosen]
            for kind, everywhere in which_kind.items()
            if (which := everywhere & within[kind[0]]).any()
        }
        of = [totals(np.where(which[:, None], values[chosen], np.nan), clusters) for which in here.values()]
        of_all = Totals(np.hstack([one.sums for one in of]), np.hstack([one.numbers for one in of]))
        table = pd.DataFrame(
            [(mask_set, method, *kind, metric) for kind in here for metric, method in columns],
            columns=["mask_set", "method", "slice", "bin", "metric"],
        )
        parts.append(table.join(bootstrap.estimates(of_all).drop(columns="clusters")))
    return pd.concat(parts, ignore_index=True)
