"""The row of the present configuration in MLflow: from which files it is completed."""

from collections.abc import Mapping
from pathlib import Path

from glcic import paths, tracking
from glcic.params import Params

TRAINING_STAGES = ("pretrain_generator", "pretrain_discriminators", "train_joint")


def outputs(folder: Path = Path(), evaluation: Mapping[str, float] | None = None) -> tracking.Outputs:
    """The files of a finished pipeline, in the project's folder or a copy of it.

    Args:
        evaluation: what it took, if it has just run.
    """
    # What `report` makes of an evaluation that has just run is not there yet, but may be left over from another one.
    tables = [paths.REPORT.methods, paths.REPORT.manifest]
    reported = [] if evaluation else [paths.REPORT.intervals, paths.REPORT.differences, paths.REPORT.slices]
    samples = [folder / paths.REPORT.sample(stage) for stage in TRAINING_STAGES]
    return tracking.Outputs(
        curves={stage: folder / paths.REPORT.curve(stage) for stage in TRAINING_STAGES},
        metrics=folder / paths.REPORT.metrics,
        tables=[folder / table for table in [*tables, *reported]],
        figures=[*samples, folder / paths.REPORT.figure],
        pages=[] if evaluation else [folder / paths.REPORT.page],
        models={stage: folder / paths.MODELS / stage for stage in TRAINING_STAGES},
        weights=folder / paths.COMPLETION,
        summary=folder / paths.FACES_SUMMARY,
        lock=folder / "dvc.lock",
        evaluation=evaluation or {},
    )


def complete(configuration: Params, evaluation: Mapping[str, float] | None = None) -> str | None:
    """Complete the row of the files in this folder; a line to print, or None when tracking is off or has failed.

    Args:
        configuration: the whole of params.yaml that they were made with.
    """
    return tracking.complete_row(paths.ROOT, configuration.model_dump(mode="json"), outputs(evaluation=evaluation))
