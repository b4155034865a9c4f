"""The row of the present configuration in MLflow: from which files it is completed."""

from collections.abc import Mapping
from pathlib import Path

from glcic import tracking
from glcic.data.faces import SUMMARY
from glcic.params import Params
from pipeline import _reports, _stage

TRAINING_STAGES = ("pretrain_generator", "pretrain_discriminators", "train_joint")


def outputs(folder: Path = Path(), evaluation: Mapping[str, float] | None = None) -> tracking.Outputs:
    """The files of a finished pipeline, in the project's folder or a copy of it.

    Args:
        evaluation: what it took, if it has just run.
    """
    # What `report` makes of an evaluation that has just run is not there yet, but may be left over from another one.
    tables = [_stage.METHODS, _reports.MASKS]
    reported = [] if evaluation else [_reports.INTERVALS, _reports.DIFFERENCES, _reports.SLICES]
    samples = [folder / _stage.SAMPLES / f"{stage}.png" for stage in TRAINING_STAGES]
    return tracking.Outputs(
        curves={stage: folder / _stage.CURVES / f"{stage}.csv" for stage in TRAINING_STAGES},
        metrics=folder / _stage.METRICS,
        tables=[folder / table for table in [*tables, *reported]],
        figures=[*samples, folder / _stage.FIGURES / "completions.png"],
        pages=[] if evaluation else [folder / _reports.PAGE],
        models={stage: folder / _stage.MODELS / stage for stage in TRAINING_STAGES},
        weights=folder / _stage.COMPLETION,
        summary=folder / _stage.FACES / SUMMARY,
        lock=folder / "dvc.lock",
        evaluation=evaluation or {},
    )


def complete(configuration: Params, evaluation: Mapping[str, float] | None = None) -> str | None:
    """Complete the row of the files in this folder; a line to print, or None when tracking is off or has failed.

    Args:
        configuration: the whole of params.yaml that they were made with.
    """
    return tracking.complete_row(_stage.ROOT, configuration.model_dump(mode="json"), outputs(evaluation=evaluation))
