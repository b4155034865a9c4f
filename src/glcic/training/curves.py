"""Learning curves: one point at each validation, as a CSV that DVC and pandas plot."""

import csv
from collections.abc import Sequence
from pathlib import Path

from glcic.files import atomic

Point = dict[str, float]


def write_curve(path: Path, curve: Sequence[Point]) -> None:
    """Columns: step, images, schedule (factor of the learning rate), mean losses since the previous point,
    validation scores (`val_…`).

    No times: they would differ from run to run, and the file is an output.
    """
    columns = list(dict.fromkeys(name for point in curve for name in point))
    with atomic(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_text(point, name) for name in columns] for point in curve)


def _text(point: Point, column: str) -> str:
    if column not in point:
        return ""
    return str(int(point[column])) if column in ("step", "images") else f"{point[column]:.7g}"
