"""Learning curves: one point at each validation, as a CSV that DVC and pandas plot."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from glcic.files import atomic

Point = dict[str, float]


def write_curve(path: Path, curve: Sequence[Point]) -> None:
    """Columns: step, images, schedule (factor of the learning rate), mean losses since the previous point,
    validation scores (`val_…`).

    No times: they would differ from run to run, and the file is an output.
    """
    frame = pd.DataFrame(curve).astype({"step": int, "images": int})
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary:
        frame.to_csv(temporary, index=False, float_format="%.7g", lineterminator="\n")
