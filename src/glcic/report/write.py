"""A whole report: statistics, page and model card."""

from pathlib import Path

from glcic.errors import UserError
from glcic.files import write_csv
from glcic.params import Params
from glcic.paths import ReportFolder
from glcic.report.bootstrap import Bootstrap, differences, intervals
from glcic.report.card import write_card
from glcic.report.contents import METHOD, read_contents, read_table
from glcic.report.page import write_page
from glcic.report.slices import shown_methods, slices


def write_report(
    folder: Path, params: Params, *, summary: Path | None = None, weights: Path | None = None, card: Path | None = None
) -> None:
    """Write what is told of a report folder's scores: intervals.csv, differences.csv, slices.csv and index.html.

    Where scores.csv is not there (git does not keep it), the three tables are taken as they are.

    Args:
        params: that the scores were made with.
        summary: data/faces/summary.json, if it is there.
        weights: of the last phase, if they are there.
        card: where to write a model card, if one is wanted.

    Raises:
        UserError: a table is missing or broken.
    """
    if ReportFolder(folder).scores.is_file():
        section = params.report
        write_statistics(folder, Bootstrap(section.resamples, section.confidence, params.seed))
    contents = read_contents(folder, params, summary, weights)
    write_page(ReportFolder(folder).page, contents)
    if card is not None:
        write_card(card, contents)


def write_statistics(folder: Path, bootstrap: Bootstrap) -> None:
    """Write intervals.csv, differences.csv and slices.csv from scores.csv and masks.csv, test split alone; to 1e-6.

    Raises:
        UserError: one of these is missing, or has no scores of the test split.
    """
    files = ReportFolder(folder)
    scores, manifest = read_table(files.scores), read_table(files.manifest)
    test = scores[scores["split"] == "test"]
    if test.empty:
        raise UserError(f"{files.scores}: no scores of the test split; run `dvc repro`")
    write_csv(files.intervals, intervals(test, bootstrap).round(6))
    write_csv(files.differences, differences(test, METHOD, bootstrap).round(6))
    size = int(manifest["size"].iloc[0])
    write_csv(files.slices, slices(test, shown_methods(test), size, bootstrap).round(6))
