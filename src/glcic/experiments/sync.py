"""Complete the rows in MLflow from the files. `make repro` does so last, `make ui` first.

A stage that DVC takes from its cache never runs and so never logs; this command uploads what is missing, for the
configuration in the workspace and for every DVC experiment, and does nothing where nothing is.
"""

import subprocess
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path

from glcic import paths, tracking
from glcic.errors import UserError
from glcic.experiments.repository import experiments, take_files, take_outputs
from glcic.params import load


def sync() -> None:
    """Upload curves, metrics, sample grids, figures and models that the rows lack."""
    if not load(paths.PARAMS).tracking.enabled:
        print("tracking.enabled is false: there are no rows to complete")
        return
    done = set()  # fingerprints: an experiment with the parameters of the workspace shares its row
    if paths.REPORT.metrics.exists() and _is_up_to_date():
        configuration = load(paths.PARAMS).model_dump(mode="json")
        if (line := tracking.complete_row(paths.ROOT, configuration, tracking.Outputs())) is None:
            return  # a server that is down, which has been said
        print(line)
        done.add(tracking.fingerprint(configuration))
    elif paths.REPORT.metrics.exists():  # of another configuration, or of the last one while this one is training
        print("the workspace is not up to date with params.yaml (`dvc repro`), or being made: its row is left as it is")
    for ref, commit in experiments().items():
        with tempfile.TemporaryDirectory() as folder:
            if not _complete_experiment(ref.rpartition("/")[2], commit, Path(folder), done):
                return


def _is_up_to_date() -> bool:
    """Whether every output is the one that the present parameters and code make; no if DVC is at work here."""
    status = [sys.executable, "-m", "dvc", "status", "--quiet"]
    return subprocess.run(status, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def _complete_experiment(name: str, commit: str, folder: Path, done: Collection[str]) -> bool:
    """Complete its row, if it has a complete pipeline and its parameters are not done; False if tracking has failed."""
    take_files(commit, [paths.PARAMS, paths.LOCK, paths.REPORT.folder], folder)
    try:
        params = load(folder / paths.PARAMS).model_dump(mode="json")
    except UserError as error:
        print(f"experiment {name}: parameters of another version of the code ({error}); passed over", file=sys.stderr)
        return True
    files = tracking.Outputs(folder)
    if not files.finished or not params["tracking"]["enabled"] or tracking.fingerprint(params) in done:
        return True
    complete = tracking.is_complete(paths.ROOT, params, files)
    if complete is False:
        take_outputs(commit, [paths.MODELS, paths.FACES_SUMMARY], folder)
        line = tracking.complete_row(paths.ROOT, params, files, title=name)
        print(line or "", end="\n" if line else "")
        return line is not None
    return complete is True
