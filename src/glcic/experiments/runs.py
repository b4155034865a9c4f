"""Several runs of the pipeline, trained one after another, for `glcic compare` and `glcic seeds`.

Each run is a DVC experiment with the run's name, trained in a copy of the project that DVC makes. After an
interruption, the same command resumes: an experiment with the wanted parameters is done, and a training resumes from
its checkpoint, which lies outside the copy.
"""

import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from glcic import paths
from glcic.errors import UserError
from glcic.experiments import presets
from glcic.experiments.repository import dvc, experiments, git, head_commit, started_dvc
from glcic.files import atomic, write_text
from glcic.params import Params, validate
from glcic.training.stop import Stopped, StopRequest

# Trained methods in methods.csv → phase that trained the network, last phase first.
PHASE_OF = {"completion": "train_joint", "pretrained": "pretrain_generator"}

COPIES = Path(".dvc/tmp/exps/standalone")  # where DVC makes its copies
STASH = "refs/exps/stash"  # what DVC is about to copy; if DVC is killed first, it would train this with the next run
# Saved so that the next call can clean up after a power cut: the original params.yaml, and the name of the copy.
_KEPT, _COPY = paths.STATE_DIR / "runs-params.yaml", paths.STATE_DIR / "runs-copy"


@dataclass(frozen=True)
class Run:
    """Name and parameters of one run of the pipeline.

    Attributes:
        name: name of the DVC experiment.
        text: contents of its params.yaml.
        params: the parameters.
    """

    name: str
    text: str
    params: Params

    @property
    def decisive(self) -> dict[str, Any]:
        """The parameters that determine its results."""
        return _decisive(self.params.model_dump(mode="json"))


def run_of(name: str, tree: CommentedMap, place: Path) -> Run:
    """Make a run from a parameter tree, with the tree's comments.

    Args:
        name: name of the run.
        tree: the parameters.
        place: where the parameters come from, named in errors.

    Raises:
        UserError: a parameter is wrong.
    """
    text, plain = presets.dumped(tree)
    return Run(name, text, validate(plain, place))


def _decisive(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters without the sections of the machine and without the label `preset`."""
    return {key: value for key, value in tree.items() if key not in (*presets.KEPT, "preset")}


@contextmanager
def alone(command: str) -> Iterator[StopRequest]:
    """Hold the lock for training runs in this project, and catch signals.

    Args:
        command: the command that resumes, named in the message of `Stopped`.

    Raises:
        UserError: another process trains runs here, or there is no git commit.
        Stopped: a signal arrived.
    """
    head_commit()  # fails outside a git repository
    paths.STATE_DIR.mkdir(parents=True, exist_ok=True)
    lock = FileLock(paths.STATE_DIR / "runs.lock")
    try:
        held = lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"{lock.lock_file}: other runs are being trained here; wait for them or stop them") from None
    with held, StopRequest() as stop:
        try:
            _restore_params()
            _remove_copy()
            git("update-ref", "-d", STASH)
            yield stop
        except (Stopped, UserError):
            if not stop.reason:  # Ctrl-C also reaches git and makes it fail
                raise
            raise Stopped(f"stopped; run `{command}` to resume") from None


def train(runs: Mapping[str, Run], stop: StopRequest, command: str, *, shared: str | None = None) -> dict[str, str]:
    """Train the runs that are not done yet.

    Args:
        runs: runs by name.
        stop: request to stop.
        command: the command that retrains failed runs, named in errors.
        shared: last stage that is the same for all runs; it runs once, here, and the runs take it from DVC's cache.

    Returns:
        The commits of all runs, by name.

    Raises:
        Stopped: a signal arrived, and no process is left.
        UserError: a run failed.
    """
    done = {name: commit for name, run in runs.items() if (commit := _finished(run))}
    _print_plan(runs, done)
    if shared:
        try:
            _put_params(next(iter(runs.values())))
            dvc("repro", shared, stop=stop)
        finally:
            _restore_params()
    for name, run in runs.items():
        if name not in done:
            print(f"{name}: training", flush=True)
            _remove_experiments(name)
            try:
                _train(run, stop)
            except UserError as error:
                print(f"{name}: {error}", flush=True)
            if commit := _finished(run):
                done[name] = commit
            print(f"{name}: {'done' if commit else 'failed'}", flush=True)
    if failed := [name for name in runs if name not in done]:
        raise UserError(f"{', '.join(failed)}: failed; see the output above; `{command}` trains them again")
    return done


def _train(run: Run, stop: StopRequest) -> None:
    """Train a run as a DVC experiment.

    To copy the project, DVC stashes uncommitted changes and restores them. Until then params.yaml must hold the run's
    parameters and DVC must not be interrupted; afterward the user may edit the file again.
    """
    before = set(COPIES.glob("tmp*"))
    try:
        _put_params(run)
        with started_dvc("exp", "run", "--temp", "--name", run.name, stop=stop) as process:
            while process.poll() is None:
                if made := {file.parent for file in COPIES.glob("tmp*/[!.]*")} - before:  # more than an empty .git
                    write_text(_COPY, made.pop().name)
                    break
                time.sleep(0.1)
            _restore_params()
    finally:
        _restore_params()
        _remove_copy()


def _finished(run: Run) -> str | None:
    """Commit of the experiment with the run's name and parameters; None if there is none."""
    for commit in _experiments(run.name).values():
        tree = YAML(typ="safe").load(git("show", f"{commit}:./{paths.PARAMS}"))
        if _decisive(tree) == run.decisive:
            return commit
    return None


def _experiments(name: str) -> dict[str, str]:
    """Experiments of this name, ref → commit; there is one for each commit that experiments started from."""
    return {ref: commit for ref, commit in experiments().items() if ref.rpartition("/")[2] == name}


def _remove_experiments(name: str) -> None:
    for ref, commit in _experiments(name).items():
        print(f"{name}: removing experiment {commit[:7]}, which has other parameters", flush=True)
        git("update-ref", "-d", ref)  # `dvc exp remove` cannot tell experiments of the same name apart


def _put_params(run: Run) -> None:
    """Write the run's parameters to params.yaml; `_restore_params` undoes it."""
    with atomic(_KEPT, durable=True) as temporary:
        shutil.copyfile(paths.PARAMS, temporary)  # byte for byte
    write_text(paths.PARAMS, run.text)


def _restore_params() -> None:
    if _KEPT.exists():
        with atomic(paths.PARAMS, durable=True) as temporary:
            shutil.copyfile(_KEPT, temporary)
        _KEPT.unlink()


def _remove_copy() -> None:
    """Remove the copy of a killed run, which DVC would list as running forever."""
    if _COPY.exists():
        shutil.rmtree(COPIES / _COPY.read_text(), ignore_errors=True)
        _COPY.unlink()


def _print_plan(runs: Mapping[str, Run], done: Mapping[str, str]) -> None:
    width = max(map(len, runs))
    for name, run in runs.items():
        phases = (getattr(run.params, stage) for stage in paths.TRAINING_STAGES)
        images = sum(phase.steps * phase.batch_size for phase in phases)
        print(f"{name.ljust(width)}  {images:>12,} images  {'done' if name in done else 'to do'}")
        if name in done:
            _note_other_code(name, done[name])
    sys.stdout.flush()


def _note_other_code(name: str, commit: str) -> None:
    """Print which code has changed since the experiment; with the right parameters, it still counts as done."""
    stages = YAML(typ="safe").load(paths.STAGES_FILE)["stages"].values()
    code = sorted({dep for stage in stages for dep in stage["deps"] if dep.split("/")[0] in paths.CODE})
    changed = git("diff", "--name-only", "--relative", commit, "HEAD", "--", *code).split()
    if changed:
        print(f"  {name} was trained before {', '.join(changed)} changed; `dvc exp remove {name}` lets it be retrained")
