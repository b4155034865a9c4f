"""Learning curves with one point per validation, as CSV files that DVC and pandas can plot."""

import csv
from collections.abc import Sequence
from pathlib import Path

from glcic.files import atomic

Point = dict[str, float]


def write_curve(path: Path, curve: Sequence[Point]) -> None:
    """Write a learning curve as CSV.

    Columns: step, images_seen, lr_factor, mean losses since the previous point, validation scores (`val_…`). Times are
    left out: they would differ from run to run, and the file is a DVC output.
    """
    columns = list(dict.fromkeys(name for point in curve for name in point))
    with atomic(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_text(point, name) for name in columns] for point in curve)


def _text(point: Point, column: str) -> str:
    if column not in point:
        return ""
    return str(int(point[column])) if column in ("step", "images_seen") else f"{point[column]:.7g}"
