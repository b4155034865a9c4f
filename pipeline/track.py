"""Complete the rows in MLflow from the files. `make repro` does so last, `make ui` first.

A stage that DVC takes from its cache never runs and so never logs; this command uploads what is missing, for the
configuration in the workspace and for every DVC experiment, and does nothing where nothing is.
"""

import sys
import tempfile
from pathlib import Path

import typer

from glcic import tracking
from glcic.data.faces import SUMMARY
from glcic.errors import UserError
from glcic.params import load
from pipeline import _row, _stage
from pipeline._commits import experiments, take_files, take_outputs


def main() -> None:
    """Upload curves, metrics, sample grids, figures and models that the rows lack."""
    if not load(_stage.PARAMS).tracking.enabled:
        print("tracking.enabled is false: there are no rows to complete")
        return
    if _stage.METRICS.exists():
        if (line := _row.complete()) is None:
            return  # a server that is down, which has been said
        print(line)
    for name, commit in experiments():
        with tempfile.TemporaryDirectory() as folder:
            _complete_experiment(name, commit, Path(folder))


def _complete_experiment(name: str, commit: str, folder: Path) -> None:
    take_files(commit, [_stage.PARAMS, Path("dvc.lock"), _stage.REPORTS], folder)
    try:
        params = load(folder / _stage.PARAMS).model_dump(mode="json")
    except UserError as error:
        print(f"experiment {name}: parameters of another version of the code ({error}); passed over", file=sys.stderr)
        return
    files = _row.outputs(folder)
    if files.finished and tracking.is_complete(_stage.ROOT, params, files) is False:
        take_outputs(commit, [_stage.MODELS, _stage.FACES / SUMMARY], folder)
        if line := tracking.complete_row(_stage.ROOT, params, files, title=name):
            print(line)


if __name__ == "__main__":
    typer.run(lambda: _stage.with_errors_explained(main))
