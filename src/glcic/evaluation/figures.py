"""The figure people look at first: input, every method, ground truth."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from glcic.files import atomic


def completions_figure(path: Path, columns: Mapping[str, NDArray[np.uint8]]) -> None:
    """Write a PNG with one column per title and one row per image.

    Args:
        columns: title → (rows, 3, S, S).
    """
    rows = len(next(iter(columns.values())))
    figure, axes = plt.subplots(
        rows, len(columns), figsize=(1.1 * len(columns), 1.1 * rows + 0.25), dpi=120, squeeze=False
    )
    for column, (title, images) in zip(axes.T, columns.items(), strict=True):
        column[0].set_title(title, fontsize=8)
        for axis, image in zip(column, images, strict=True):
            axis.imshow(image.transpose(1, 2, 0))
            axis.axis("off")
    figure.subplots_adjust(
        left=0.005, right=0.995, bottom=0.005, top=1 - 0.25 / (1.1 * rows + 0.25), wspace=0.03, hspace=0.03
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})  # no version: the same bytes
    plt.close(figure)


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
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary:
        for dpi in (120, 100, 80, 60, 45):
            figure.savefig(temporary, format="png", dpi=dpi, metadata={"Software": None})
            if temporary.stat().st_size <= largest:
                break
    plt.close(figure)
