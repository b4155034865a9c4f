"""Complete this configuration's row in MLflow from the files. `make repro` does so after `dvc repro`.

A stage that DVC takes from its cache never runs and so never logs; this command uploads what is missing,
and does nothing where nothing is.
"""

import typer

from glcic import tracking
from glcic.params import load
from pipeline import _stage

TRAINING_STAGES = ("pretrain_generator", "pretrain_discriminators", "train_joint")


def main() -> None:
    """Upload curves, metrics, sample grids and figures that the row lacks."""
    params = load(_stage.PARAMS)
    samples = [_stage.SAMPLES / f"{stage}.png" for stage in TRAINING_STAGES]
    line = tracking.complete_row(
        _stage.ROOT,
        params.model_dump(mode="json"),
        name=params.preset,
        curves={stage: _stage.CURVES / f"{stage}.csv" for stage in TRAINING_STAGES},
        metrics=_stage.METRICS,
        figures=[*samples, _stage.FIGURES / "completions.png"],
    )
    if line:
        print(line)


if __name__ == "__main__":
    typer.run(lambda: _stage.with_errors_explained(main))
