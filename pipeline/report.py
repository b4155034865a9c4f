"""Stage 7: write the report, with confidence intervals, scores by subset, a model card and an HTML page."""

from glcic import paths
from glcic.params import Params
from glcic.report.write import write_report
from glcic.tracking import Outputs, complete_run
from pipeline import stage


def main(params: Params) -> None:
    """Write reports/intervals.csv, differences.csv, slices.csv and index.html, and models/model_card.md."""
    write_report(paths.REPORT.folder, params, summary=paths.IMAGES_SUMMARY, weights=paths.GENERATOR, card=paths.CARD)
    stage.start_of("report").check()
    # Called here because nothing runs after this last stage in DVC's experiment queue.
    complete_run(paths.ROOT, stage.configuration().model_dump(mode="json"), Outputs())


if __name__ == "__main__":
    stage.run("report", main)
