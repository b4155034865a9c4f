"""Figures of completions by all methods, and the choice of the best, median and worst completions."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from glcic.evaluation.definitions import RANKS
from glcic.files import atomic

RANKED_BY = "l1_hole"


def completions_figure(path: Path, columns: Mapping[str, NDArray[np.uint8]], largest: int = 900_000) -> None:
    """Write a PNG with one column per title and one row per image.

    Args:
        columns: title → images (rows, 3, S, S).
        largest: maximum file size in bytes; the resolution is lowered until the file fits.
    """
    rows = len(next(iter(columns.values())))
    head = 0.35  # inches, for two lines of title
    height = 1.1 * rows + head
    figure, axes = _grid(np.stack(list(columns.values()), axis=1), (1.1 * len(columns), height))
    for axis, title in zip(axes[0], columns, strict=True):
        axis.set_title(textwrap.fill(title, 14), fontsize=8)
    figure.subplots_adjust(left=0.005, right=0.995, bottom=0.005, top=1 - head / height, wspace=0.03, hspace=0.03)
    _save(figure, path, largest)


def systems_figure(path: Path, rows: Mapping[str, NDArray[np.uint8]], largest: int = 600_000) -> None:
    """Write a PNG with one row per title and one column per image.

    Args:
        rows: title → images (columns, 3, S, S).
        largest: maximum file size in bytes; the resolution is lowered until the file fits.
    """
    columns = len(next(iter(rows.values())))
    margin, width, height = 1.3, 1.1 * columns + 1.3, 1.1 * len(rows)
    figure, axes = _grid(np.stack(list(rows.values())), (width, height))
    for axis, title in zip(axes[:, 0], rows, strict=True):
        axis.text(-0.05, 0.5, title, fontsize=8, ha="right", va="center", transform=axis.transAxes)
    figure.subplots_adjust(left=margin / width, right=0.995, bottom=0.005, top=0.995, wspace=0.03, hspace=0.03)
    _save(figure, path, largest)


def _grid(tiles: NDArray[np.uint8], inches: tuple[float, float]) -> tuple[Figure, NDArray[Any]]:
    """Draw images (rows, columns, 3, S, S); return the figure and its axes (rows, columns)."""
    figure, axes = plt.subplots(*tiles.shape[:2], figsize=inches, squeeze=False)
    for place, axis in np.ndenumerate(axes):
        axis.imshow(tiles[place].transpose(1, 2, 0))
        axis.axis("off")
    return figure, axes


def _save(figure: Figure, path: Path, largest: int) -> None:
    with atomic(path) as temporary:
        for dpi in (120, 100, 80, 60, 45):
            figure.savefig(
                temporary, format="png", dpi=dpi, metadata={"Software": None}
            )  # without a version, for reproducible bytes
            if temporary.stat().st_size <= largest:
                break
    plt.close(figure)


def write_tiles(path: Path, tiles: NDArray[np.uint8]) -> None:
    """Write a PNG grid of images at their original size, without margins or text.

    Args:
        tiles: images (rows, columns, 3, S, S).
    """
    rows, columns, _, height, width = tiles.shape
    grid = tiles.transpose(0, 3, 1, 4, 2).reshape(rows * height, columns * width, 3)
    with atomic(path) as temporary:
        Image.fromarray(grid).save(temporary, format="PNG")


def chosen(scores: pd.DataFrame, k: int) -> pd.DataFrame:
    """Choose the k best, k median and k worst images by L1 over the hole; fewer than k if there are too few images.

    Args:
        scores: scores of one method on one mask set; a row per image, in the order of the split.

    Returns:
        A table, best first, with the columns rank, item (index within the split), row, file, l1_hole, psnr.
    """
    order = np.argsort(scores[RANKED_BY].to_numpy(), kind="stable")
    n = len(order)
    k = min(k, n // len(RANKS)) if n >= len(RANKS) else 0
    middle = (n - k) // 2
    picked = {"best": order[:k], "median": order[middle : middle + k], "worst": order[n - k :]}
    shown = scores[["row", "file", RANKED_BY, "psnr"]]
    parts = [shown.iloc[items].assign(rank=rank, item=items) for rank, items in picked.items()]
    return pd.concat(parts, ignore_index=True)[["rank", "item", "row", "file", RANKED_BY, "psnr"]]
