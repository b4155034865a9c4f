"""The figures people look at: input, every method, ground truth; and the best, median and worst completions."""

import textwrap
from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from glcic.files import atomic


def completions_figure(path: Path, columns: Mapping[str, NDArray[np.uint8]], largest: int = 900_000) -> None:
    """Write a PNG with one column per title and one row per image.

    Args:
        columns: title → (rows, 3, S, S).
        largest: bytes of the file; it is drawn smaller until it fits.
    """
    rows = len(next(iter(columns.values())))
    head = 0.35  # inches, two lines of a title
    height = 1.1 * rows + head
    figure, axes = plt.subplots(rows, len(columns), figsize=(1.1 * len(columns), height), squeeze=False)
    for column, (title, images) in zip(axes.T, columns.items(), strict=True):
        column[0].set_title(textwrap.fill(title, 14), fontsize=8)
        for axis, image in zip(column, images, strict=True):
            axis.imshow(image.transpose(1, 2, 0))
            axis.axis("off")
    figure.subplots_adjust(left=0.005, right=0.995, bottom=0.005, top=1 - head / height, wspace=0.03, hspace=0.03)
    _save(figure, path, largest)


def systems_figure(path: Path, rows: Mapping[str, NDArray[np.uint8]], largest: int = 600_000) -> None:
    """Write a PNG with one row per title and one column per image.

    Args:
        rows: title → (columns, 3, S, S).
        largest: bytes of the file; it is drawn smaller until it fits.
    """
    columns = len(next(iter(rows.values())))
    margin, width, height = 1.3, 1.1 * columns + 1.3, 1.1 * len(rows)
    figure, axes = plt.subplots(len(rows), columns, figsize=(width, height), squeeze=False)
    for line, (title, images) in zip(axes, rows.items(), strict=True):
        line[0].text(-0.05, 0.5, title, fontsize=8, ha="right", va="center", transform=line[0].transAxes)
        for axis, image in zip(line, images, strict=True):
            axis.imshow(image.transpose(1, 2, 0))
            axis.axis("off")
    figure.subplots_adjust(left=margin / width, right=0.995, bottom=0.005, top=0.995, wspace=0.03, hspace=0.03)
    _save(figure, path, largest)


def _save(figure: Figure, path: Path, largest: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary:
        for dpi in (120, 100, 80, 60, 45):
            figure.savefig(temporary, format="png", dpi=dpi, metadata={"Software": None})  # no version: the same bytes
            if temporary.stat().st_size <= largest:
                break
    plt.close(figure)


def write_tiles(path: Path, tiles: NDArray[np.uint8]) -> None:
    """Write a PNG of images side by side, pixel for pixel, without margins or text.

    Args:
        tiles: (rows, columns, 3, S, S).
    """
    rows, columns, _, height, width = tiles.shape
    grid = tiles.transpose(0, 3, 1, 4, 2).reshape(rows * height, columns * width, 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary:
        Image.fromarray(grid).save(temporary, format="PNG")
