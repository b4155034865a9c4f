"""Stage 7: say how sure the scores are, where they fail, and what it all is, on one page."""

from glcic import paths
from glcic.params import Params, load
from glcic.report.write import write_report
from glcic.tracking import Outputs, complete_row
from pipeline import stage


def main(params: Params) -> None:
    """Write reports/intervals.csv, differences.csv, slices.csv and index.html, and models/model_card.md."""
    configuration = load(paths.PARAMS)
    write_report(paths.REPORT.folder, params, summary=paths.FACES_SUMMARY, weights=paths.COMPLETION, card=paths.CARD)
    # Here, since in the queue of experiments nothing else would run after this last stage.
    complete_row(paths.ROOT, configuration.model_dump(mode="json"), Outputs())


if __name__ == "__main__":
    stage.run("report", main)
