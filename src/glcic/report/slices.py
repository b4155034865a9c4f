"""Where a method fails: mean scores of the images of a kind, by their hole and by their brightness."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glcic.evaluation.tables import metrics_of
from glcic.report.bootstrap import Bootstrap, Totals, by_image, clusters_of, names_of, totals

POOLED = "pooled"  # in the place of a mask set: those of `pooled` together
RATIOS = (0, 1, 10, 20, 30, 40, 50, 60, 100)  # per cent of the image, edges; the upper one belongs to the bin
BORDERS = {"touches": 0.0, "up to 10 %": 10.0, "up to 20 %": 20.0, "over 20 %": np.inf}  # per cent of S, upper ends
BRIGHTNESS = ("dark", "medium", "bright")
SLICES = {"ratio": "hole ratio", "border": "distance of the hole from the edge", "brightness": "brightness"}
# Methods that learn nothing, or nothing but the training images by heart.
CLASSICAL = ("mean_fill", "telea", "navier_stokes", "biharmonic", "nearest")


def pooled(name: str, mask_sets: Iterable[str]) -> list[str]:
    """The mask sets that may be taken together for a slice: they differ in nothing else that matters.

    Brush strokes for the hole ratio; the same boxes inside and at the edge for the distance from it; all for the
    brightness, since each has every image once. Of others together, a bin would tell of its mask sets, not of its kind.
    """
    fit: dict[str, Callable[[str], bool]] = {
        "ratio": lambda one: one.startswith("strokes_"),
        "border": lambda one: one in ("box", "border"),
        "brightness": lambda _: True,
    }
    return [one for one in mask_sets if fit[name](one)]


def kinds(images: pd.DataFrame, size: int) -> dict[tuple[str, str], NDArray[np.bool_]]:
    """{(slice, bin): which of the images} are of that kind; kinds without any are left out.

    Args:
        images: with row, ratio in (0, 1], border in pixels, and brightness in [0, 1].
        size: side S of the images.
    """
    found: dict[tuple[str, str], NDArray[np.bool_]] = {}
    ratio = 100 * images["ratio"].to_numpy(np.float64)
    ends = np.asarray(RATIOS) + 1e-9  # 0.1 of the image is 10.000000000000002 %
    for low, high, i in zip(RATIOS, RATIOS[1:], np.arange(len(RATIOS)), strict=False):
        found["ratio", f"{low}–{high} %"] = (ratio > (ends[i] if i else 0)) & (ratio <= ends[i + 1])
    distance, below = 100 * images["border"].to_numpy(np.float64) / size, -np.inf
    for name, end in BORDERS.items():
        found["border", name] = (distance > below) & (distance <= end)
        below = end
    # Thirds of the images, however often one of them is completed.
    brightness = images["brightness"].to_numpy(np.float64)
    edges = np.quantile(images.drop_duplicates("row")["brightness"], [1 / 3, 2 / 3])
    third = np.searchsorted(edges, brightness)
    found |= {("brightness", name): third == i for i, name in enumerate(BRIGHTNESS)}
    return {kind: which for kind, which in found.items() if which.any()}


def shown_methods(scores: pd.DataFrame) -> list[str]:
    """Whose failures are told: the completion network after and before the joint phase, and the classical method with
    the lowest L1 over the hole. The other ones fail alike, and would make the table three times as large."""
    means = scores.groupby("method", sort=False)["l1_hole"].mean()
    classical = means[means.index.isin(CLASSICAL)].dropna()
    best = [str(classical.idxmin())] if len(classical) else []
    return [name for name in ("completion", "pretrained") if name in means.index] + best


def slices(scores: pd.DataFrame, methods: Sequence[str], size: int, bootstrap: Bootstrap) -> pd.DataFrame:
    """Mean scores of the images of each kind, for each mask set, and for those together that may be pooled.

    The people drawn are those of the whole mask set, and a mean is over those of their images that are of the kind.

    Args:
        scores: of one split; a row per mask set, image and method.
        size: side S of the images.

    Returns:
        mask_set (or `pooled`), method, slice, bin, metric, mean, low, high, images (whose score is finite). What is
        undefined is NaN.
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
        chosen = within["brightness"]  # every image that any slice is of
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
