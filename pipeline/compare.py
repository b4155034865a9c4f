"""Train several systems under equal conditions and tabulate them. `make compare` does so for comparison.yaml.

Each run of the file is one DVC experiment of its name. They wait in DVC's queue and one worker trains them, one
after another, each in a copy of the project under .dvc/tmp/exps. Interrupted, the same command goes on where it
was: an experiment that exists with the wanted parameters is done, and a training resumes from its checkpoint.
"""

import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from filelock import FileLock, Timeout
from ruamel.yaml import YAML

from glcic.comparison import PHASES, Result, Run, read_comparison, report, runs_of, write_csv
from glcic.errors import UserError
from glcic.files import atomic
from glcic.params import load
from pipeline import _stage
from pipeline._experiments import Queue, Stop, Stopped, check_git, dvc, finished, git, remove_experiments

PRESETS = Path("presets")
TABLE = "{}.csv"  # in reports, named after the table
REPORT = _stage.REPORTS / "systems.md"
FIGURE = _stage.FIGURES / "systems.png"
SHOWN = 6  # test images in the figure


def main(
    file: Annotated[Path, typer.Argument(help="the comparison: systems, and perhaps an ablation")] = Path(
        "comparison.yaml"
    ),
) -> None:
    """Train all systems of a comparison file and write their tables and figure; goes on where it was interrupted."""
    _stage.with_errors_explained(lambda: _main(file))


def _main(file: Path) -> None:
    lock = FileLock(_stage.SCRATCH / "compare.lock")
    _stage.SCRATCH.mkdir(parents=True, exist_ok=True)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"{lock.lock_file}: another comparison is running here; wait for it or stop it") from None
    with lock, Stop() as stop:
        try:
            _restore_params()
            _compare(file, stop)
        except Stopped:
            print(f"stopped; `{_command(file)}` goes on where it was", file=sys.stderr, flush=True)
            raise typer.Exit(130) from None


def _compare(file: Path, stop: "Stop") -> None:
    comparison = read_comparison(file)
    tables = runs_of(comparison, file, PRESETS, _stage.PARAMS)
    runs = {name: run for table in tables.values() for name, run in table.items()}
    check_git(file)
    queue = Queue(stop)
    queue.settle()
    done = {name: sha for name, run in runs.items() if (sha := finished(run))}
    waiting = queue.waiting(runs)
    _print_plan(runs, done, waiting)
    with _params_kept():
        _write_params(next(iter(runs.values())))
        dvc("repro", "crop", stop=stop, shown=True)
        for name, run in runs.items():
            if name not in done and name not in waiting:
                queue.forget(name)
                remove_experiments(name)
                _write_params(run)
                dvc("exp", "run", "--queue", "--name", name, stop=stop)
    done |= queue.work({name: run for name, run in runs.items() if name not in done})
    if failed := [name for name in runs if name not in done]:
        raise UserError(f"{', '.join(failed)}: failed; see the lines above, then `{_command(file)}` trains them again")
    _collect(comparison.about, tables, done, file)


def _command(file: Path) -> str:
    return f"python -m pipeline.compare {shlex.quote(str(file))}"


# params.yaml as it was before `dvc exp run --queue` read another one from its place.
_KEPT = _stage.SCRATCH / "compare-params.yaml"


@contextmanager
def _params_kept() -> Iterator[None]:
    """Put params.yaml back in the end; after a power cut the next call does so."""
    with atomic(_KEPT) as temporary:
        temporary.write_bytes(_stage.PARAMS.read_bytes())
    try:
        yield
    finally:
        _restore_params()


def _restore_params() -> None:
    if _KEPT.exists():
        with atomic(_stage.PARAMS) as temporary:
            temporary.write_bytes(_KEPT.read_bytes())
        _KEPT.unlink()


def _write_params(run: Run) -> None:
    with atomic(_stage.PARAMS) as temporary:
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


def _collect(about: str, tables: Mapping[str, Mapping[str, Run]], done: Mapping[str, str], file: Path) -> None:
    """Write the tables and the figure from the experiments' commits and weights."""
    import torch

    from glcic.data.faces import Faces

    torch.set_num_threads(load(_stage.PARAMS).runtime.threads)
    test = Faces(_stage.FACES, "test")
    truth, masks = _shown_images(test, next(iter(tables["systems"].values())))
    pictures = {"input": _holed(truth, masks), "ground truth": truth}
    results: dict[str, Result] = {}
    for title, table in tables.items():
        for name, run in table.items():
            if name not in results:
                results[name], complete = _result(run, done[name])
                if title == "systems":
                    pictures[name] = complete(truth, masks)
    found = {title: [results[name] for name in table] for title, table in tables.items()}
    for title, listed in found.items():
        write_csv(_stage.REPORTS / TABLE.format(title), listed)
    images = {split: len(Faces(_stage.FACES, split)) for split in ("train", "val", "test")}
    with atomic(REPORT) as temporary:
        temporary.write_text(report(about, found, images, _command(file)), encoding="utf-8")
    _draw(pictures)
    written = [*(_stage.REPORTS / TABLE.format(title) for title in tables), REPORT, FIGURE]
    print(f"wrote {', '.join(map(str, written))}")


def _result(run: Run, commit: str) -> tuple[Result, Callable[[Any, Any], Any]]:
    """What the tables say of a run, and its last phase's network as a function."""
    import json

    from glcic import tracking
    from glcic.completion import Completer

    metrics = json.loads(git("show", f"{commit}:./{_stage.METRICS}"))
    trained = any("completion" in scores for scores in metrics.values())
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.safetensors"
        weights.write_bytes(_output(_stage.COMPLETION if trained else _stage.PRETRAINED, run.name, commit))
        completer = Completer(weights)
    parameters = sum(parameter.numel() for parameter in completer.network.parameters())
    wanted = {phase: f"{phase}/images_per_second" for phase in PHASES.values()}
    recorded = tracking.recorded(_stage.ROOT, run.params.model_dump(mode="json"), wanted.values())
    speeds = {phase: recorded[name] for phase, name in wanted.items() if name in recorded}
    return Result(run, metrics, parameters, speeds), completer


def _output(path: Path, name: str, commit: str) -> bytes:
    """An output of an experiment, from DVC's cache."""
    import dvc.api
    from dvc.exceptions import DvcException

    try:
        with dvc.api.open(path.as_posix(), rev=commit, mode="rb") as file:
            content: bytes = file.read()
            return content
    except (DvcException, OSError) as error:
        raise UserError(
            f"{path} of experiment {name} is not in DVC's cache ({error}); run `dvc exp remove {name}` and this "
            "command again, to train it anew"
        ) from None


def _shown_images(test: Any, run: Run) -> tuple[Any, Any]:
    """A few test images, spread over the split, and their masks; the mask sets take turns."""
    import numpy as np

    from glcic.masks import box_masks, draw_mask_set

    params = run.params
    items = np.linspace(0, len(test) - 1, min(SHOWN, len(test))).astype(np.int64)
    sets = [draw_mask_set(name, params.seed, len(test), test.size) for name in params.evaluate.mask_sets]
    boxes = np.stack([sets[column % len(sets)][item] for column, item in enumerate(items)])
    return test.read(items), box_masks(boxes, test.size)


def _holed(truth: Any, masks: Any) -> Any:
    import numpy as np

    return np.where(masks == 1, np.uint8(255), truth)


def _draw(pictures: Mapping[str, Any]) -> None:
    from glcic.evaluation.figures import systems_figure

    systems_figure(FIGURE, pictures)


if __name__ == "__main__":
    typer.run(main)
