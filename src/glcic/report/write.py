"""A whole report: statistics, page and model card."""

from pathlib import Path

from glcic.params import Params
from glcic.paths import ReportFolder
from glcic.report.bootstrap import Bootstrap
from glcic.report.card import write_card
from glcic.report.contents import read_contents
from glcic.report.page import write_page
from glcic.report.statistics import write_statistics


def write_report(
    folder: Path,
    params: Params,
    *,
    summary: Path | None = None,
    weights: Path | None = None,
    card: Path | None = None,
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
