"""Several runs of the pipeline, trained one after another: what `pipeline.compare` and `pipeline.seeds` share.

Each run is one DVC experiment of its name. They wait in DVC's queue and one worker trains them, each in a copy of the
project that DVC makes. Interrupted, the same command goes on where it was: an experiment that exists with the
wanted parameters is done, and a training resumes from its checkpoint.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import typer
from filelock import FileLock, Timeout
from ruamel.yaml import YAML

from glcic import paths
from glcic.errors import UserError
from glcic.experiments.compare import Run
from glcic.experiments.repository import git
from glcic.files import atomic
from pipeline._experiments import Queue, Stop, Stopped, dvc, finished, remove_experiments

# params.yaml as it was before `dvc exp run --queue` read another one from its place.
_KEPT = paths.SCRATCH / "runs-params.yaml"


def alone(work: Callable[[Stop], None], command: str) -> None:
    """Do `work`, unless somebody else fills the queue; exit with status 130 if asked to stop.

    Args:
        command: that goes on where it was.

    Raises:
        UserError: somebody else does.
    """
    lock = FileLock(paths.SCRATCH / "runs.lock")
    paths.SCRATCH.mkdir(parents=True, exist_ok=True)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"{lock.lock_file}: other runs are being trained here; wait for them or stop them") from None
    with lock, Stop() as stop:
        try:
            _restore_params()
            work(stop)
        except Stopped:
            print(f"stopped; `{command}` goes on where it was", file=sys.stderr, flush=True)
            raise typer.Exit(130) from None


def train(runs: Mapping[str, Run], stop: Stop, command: str, *, shared: str | None = None) -> dict[str, str]:
    """Train those of the runs that are not done yet.

    Args:
        runs: by name.
        command: that trains what failed again.
        shared: the stage up to which the runs are alike; it runs once, here, and they take it from DVC's cache.

    Returns:
        The commits of all of them, by name.

    Raises:
        Stopped: somebody asked.
        UserError: a run failed.
    """
    queue = Queue(stop)
    queue.settle()
    done = {name: sha for name, run in runs.items() if (sha := finished(run))}
    waiting = queue.waiting(runs)
    _print_plan(runs, done, waiting)
    with _params_kept():
        if shared:
            _write_params(next(iter(runs.values())))
            dvc("repro", shared, stop=stop, shown=True)
        for name, run in runs.items():
            if name not in done and name not in waiting:
                queue.forget(name)
                remove_experiments(name)
                _write_params(run)
                dvc("exp", "run", "--queue", "--name", name, stop=stop)
    done |= queue.work({name: run for name, run in runs.items() if name not in done})
    if failed := [name for name in runs if name not in done]:
        raise UserError(f"{', '.join(failed)}: failed; see the lines above, then `{command}` trains them again")
    return done


@contextmanager
def _params_kept() -> Iterator[None]:
    """Put params.yaml back in the end; after a power cut the next call does so."""
    with atomic(_KEPT) as temporary:
        temporary.write_bytes(paths.PARAMS.read_bytes())
    try:
        yield
    finally:
        _restore_params()


def _restore_params() -> None:
    if _KEPT.exists():
        with atomic(paths.PARAMS) as temporary:
            temporary.write_bytes(_KEPT.read_bytes())
        _KEPT.unlink()


def _write_params(run: Run) -> None:
    with atomic(paths.PARAMS) as temporary:
        temporary.write_text(run.text, encoding="utf-8")


def _print_plan(runs: Mapping[str, Run], done: Mapping[str, str], waiting: Mapping[str, str]) -> None:
    width = max(map(len, runs))
    for name, run in runs.items():
        phases = (
            getattr(run.params, phase) for phase in ("pretrain_generator", "pretrain_discriminators", "train_joint")
        )
        images = sum(phase.steps * phase.batch for phase in phases)
        state = "done" if name in done else waiting.get(name, "to do")
        print(f"{name.ljust(width)}  {images:>12,} images  {state}")
        if name in done:
            _note_other_code(name, done[name])
    sys.stdout.flush()


def _note_other_code(name: str, commit: str) -> None:
    """An experiment is done if its parameters are the wanted ones; that the code has changed since is only said."""
    stages = YAML(typ="safe").load(Path("dvc.yaml"))["stages"].values()
    sources = sorted({dep for stage in stages for dep in stage["deps"] if dep.endswith(".py")})
    changed = git("diff", "--name-only", "--relative", commit, "HEAD", "--", *sources).split()
    if changed:
        print(f"  {name} was trained before {', '.join(changed)} changed; `dvc exp remove {name}` has it trained again")
