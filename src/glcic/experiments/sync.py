"""Completion of MLflow runs from the files: last step of `make repro`, first step of `make ui`.

A stage that DVC takes from its cache never runs and so never logs. This command uploads what is missing, for the
configuration in the workspace and for every DVC experiment.
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
    """Upload the curves, metrics, sample grids, figures and models that are missing from the runs."""
    tracking.follow(paths.ROOT)  # also where nothing is to be uploaded: `make ui` shows what there is
    if not load(paths.PARAMS).tracking.enabled:
        print("tracking.enabled is false: there are no runs to complete")
        return
    done = set()  # fingerprints: an experiment with the workspace's parameters shares its run
    if paths.REPORT.metrics.exists() and _is_up_to_date():
        configuration = load(paths.PARAMS).model_dump(mode="json")
        if (line := tracking.complete_run(paths.ROOT, configuration, tracking.Outputs())) is None:
            return  # tracking has failed and printed a warning
        print(line)
        done.add(tracking.fingerprint(configuration))
    elif paths.REPORT.metrics.exists():  # of another configuration, or of an earlier one while this one is training
        print("the workspace is not up to date (`dvc repro`) or a stage is running; its run is left as is")
    for ref, commit in experiments().items():
        with tempfile.TemporaryDirectory() as folder:
            if not _complete_experiment(ref.rpartition("/")[2], commit, Path(folder), done):
                return


def _is_up_to_date() -> bool:
    """Whether all outputs are up to date with parameters and code; False while DVC is running here."""
    status = [sys.executable, "-m", "dvc", "status", "--quiet"]
    return subprocess.run(status, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def _complete_experiment(name: str, commit: str, folder: Path, done: Collection[str]) -> bool:
    """Complete an experiment's run if its pipeline has finished and it is not done; False if tracking has failed."""
    take_files(commit, [paths.PARAMS, paths.LOCK, paths.REPORT.folder], folder)
    try:
        params = load(folder / paths.PARAMS).model_dump(mode="json")
    except UserError as error:
        print(
            f"experiment {name}: skipped, its parameters are of another version of the code ({error})", file=sys.stderr
        )
        return True
    files = tracking.Outputs(folder)
    if not files.finished or not params["tracking"]["enabled"] or tracking.fingerprint(params) in done:
        return True
    complete = tracking.is_complete(paths.ROOT, params, files)
    if complete is False:
        take_outputs(commit, [paths.MODELS, paths.IMAGES_SUMMARY], folder)
        try:
            line = tracking.complete_run(paths.ROOT, params, files, title=name)
        except UserError as error:
            print(f"experiment {name}: skipped ({error})", file=sys.stderr)
            return True
        print(line or "", end="\n" if line else "")
        return line is not None
    return complete is True
