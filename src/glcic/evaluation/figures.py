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
