"""Intervals, paired differences and slices, as the tables that git keeps."""

from pathlib import Path

import pandas as pd

from glcic.errors import UserError
from glcic.files import atomic
from glcic.paths import ReportFolder
from glcic.report.bootstrap import Bootstrap, differences, intervals
from glcic.report.contents import METHOD, read_table
from glcic.report.slices import shown_methods, slices


def write_statistics(folder: Path, bootstrap: Bootstrap) -> None:
    """Write intervals.csv, differences.csv and slices.csv from scores.csv and masks.csv, test split alone.

    Raises:
        UserError: one of these is missing, or has no scores of the test split.
    """
    files = ReportFolder(folder)
    scores, manifest = read_table(files.scores), read_table(files.manifest)
    test = scores[scores["split"] == "test"]
    if test.empty:
        raise UserError(f"{files.scores}: no scores of the test split; run `dvc repro`")
    _write(files.intervals, intervals(test, bootstrap))
    _write(files.differences, differences(test, METHOD, bootstrap))
    _write(files.slices, slices(test, shown_methods(test), int(manifest["size"].iloc[0]), bootstrap))


def _write(path: Path, table: pd.DataFrame) -> None:
    """To 1e-6; what is undefined is an empty cell."""
    with atomic(path) as temporary:
        table.round(6).to_csv(temporary, index=False, lineterminator="\n")
