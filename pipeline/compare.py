"""Train several systems under equal conditions and tabulate them. `make compare` does so for comparison.yaml.

Each run of the file is one DVC experiment of its name; interrupted, the same command goes on where it was (_runs.py).
"""

import shlex
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from glcic import paths
from glcic.errors import UserError
from glcic.experiments.compare import PHASES, Result, Run, read_comparison, report, runs_of, write_csv
from glcic.experiments.repository import check_git, git
from glcic.files import atomic
from glcic.params import load
from pipeline import stage as _stage
from pipeline._experiments import Stop
from pipeline._runs import alone, train

PRESETS = Path("presets")
TABLE = "{}.csv"  # in reports, named after the table
REPORT = paths.REPORT.folder / "systems.md"
FIGURE = paths.REPORT.figures / "systems.png"
FIGURE_COLUMNS = 6  # test images in the figure


def main(
    file: Annotated[Path, typer.Argument(help="the comparison: systems, and perhaps an ablation")] = Path(
        "comparison.yaml"
    ),
) -> None:
    """Train all systems of a comparison file and write their tables and figure; goes on where it was interrupted."""
    _stage.with_errors_explained(lambda: alone(lambda stop: _compare(file, stop), _command(file)))


def _compare(file: Path, stop: Stop) -> None:
    comparison = read_comparison(file)
    tables = runs_of(comparison, file, PRESETS, paths.PARAMS)
    runs = {name: run for table in tables.values() for name, run in table.items()}
    check_git(file)
    done = train(runs, stop, _command(file), shared="crop")
    _collect(comparison.about, tables, done, file)


def _command(file: Path) -> str:
    return f"python -m pipeline.compare {shlex.quote(str(file))}"


def _collect(about: str, tables: Mapping[str, Mapping[str, Run]], done: Mapping[str, str], file: Path) -> None:
    """Write the tables and the figure from the experiments' commits and weights."""
    import torch

    from glcic.data.faces import Faces
    from glcic.evaluation.mask_sets import draw_all, in_white, shown

    torch.set_num_threads(load(paths.PARAMS).runtime.threads)
    test = Faces(paths.FACES, "test")
    params = next(iter(tables["systems"].values())).params
    holes = draw_all(params.evaluate, len(test), test.size)  # the same for all runs
    items, masks = shown(holes, FIGURE_COLUMNS)
    truth = test.read(items)
    pictures = {"input": in_white(truth, masks), "ground truth": truth}
    results: dict[str, Result] = {}
    for title, table in tables.items():
        for name, run in table.items():
            if name not in results:
                results[name], complete = _result(run, done[name])
                if title == "systems":
                    pictures[name] = complete(truth, masks)
    found = {title: [results[name] for name in table] for title, table in tables.items()}
    for title, listed in found.items():
        write_csv(paths.REPORT.folder / TABLE.format(title), listed)
    images = {split: len(Faces(paths.FACES, split)) for split in ("train", "val", "test")}
    with atomic(REPORT) as temporary:
        temporary.write_text(
            report(about, found, images, _command(file), {drawn.name: drawn.sha256 for drawn in holes}),
            encoding="utf-8",
        )
    _draw(pictures)
    written = [*(paths.REPORT.folder / TABLE.format(title) for title in tables), REPORT, FIGURE]
    print(f"wrote {', '.join(map(str, written))}")


def _result(run: Run, commit: str) -> tuple[Result, Callable[[Any, Any], Any]]:
    """What the tables say of a run, and its last phase's network as a function."""
    from glcic import tracking
    from glcic.evaluation.tables import read_methods
    from glcic.inference.completer import Completer

    metrics = read_methods(git("show", f"{commit}:./{paths.REPORT.methods}"))
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.safetensors"
        weights.write_bytes(_output(paths.COMPLETION, run.name, commit))
        completer = Completer(weights)
    parameters = sum(parameter.numel() for parameter in completer.network.parameters())
    wanted = {phase: f"{phase}/images_per_second" for phase in PHASES.values()}
    recorded = tracking.recorded(paths.ROOT, run.params.model_dump(mode="json"), wanted.values())
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


def _draw(pictures: Mapping[str, Any]) -> None:
    from glcic.evaluation.figures import systems_figure

    systems_figure(FIGURE, pictures)


if __name__ == "__main__":
    typer.run(main)
