"""Train several systems under equal conditions and tabulate them: `glcic compare comparison.yaml`."""

import re
import shlex
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from pydantic import Field

from glcic import paths
from glcic.errors import UserError
from glcic.evaluation.definitions import ALL, MAIN_METRICS, METHODS
from glcic.experiments import presets
from glcic.experiments.repository import check_git, git, take_outputs
from glcic.experiments.runs import PHASE_OF, Run, alone, run_of, train
from glcic.files import write_csv, write_text
from glcic.params import Section, load, read_yaml, validate_as
from glcic.training.stop import StopRequest

# Equal conditions: the same images, and the same holes of the test split.
SHARED = ("seed", "download", "crop", "evaluate.mask_sets", "evaluate.mask_seed")
CSV_COLUMNS = ("preset", "mask", "phase", "parameters", "images_per_second", *MAIN_METRICS)
TITLES = [ALL[metric].title for metric in MAIN_METRICS]
SYSTEMS, FIGURE = paths.REPORT.folder / "systems.md", paths.REPORT.figures / "systems.png"
FIGURE_IMAGES = 6  # of the test split
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")  # what both git and DVC take for an experiment's name


class RunEntry(Section):
    """A preset file, and what is laid over it for this run alone."""

    preset: str
    overlay: dict[str, Any] = Field(default_factory=dict)


class RunTable(Section):
    """Runs that stand in one table."""

    base: dict[str, Any] = Field(default_factory=dict)
    runs: dict[str, RunEntry] = Field(min_length=1)


class Comparison(Section):
    """The whole of comparison.yaml.

    Attributes:
        about: what the report says of the conditions.
    """

    about: str = ""
    systems: RunTable
    ablation: RunTable | None = None

    @property
    def tables(self) -> dict[str, RunTable]:
        """By name, those that are there."""
        return {"systems": self.systems, **({"ablation": self.ablation} if self.ablation else {})}


@dataclass
class TrainedRun:
    """What a finished run is remembered for.

    Attributes:
        methods: {mask set: {method: {metric: value}}}, as in reports/methods.csv.
        parameters: of the completion network.
        speeds: images per second by phase; phases that nobody recorded are missing.
    """

    run: Run
    methods: dict[str, dict[str, dict[str, float | None]]]
    parameters: int
    speeds: dict[str, float] = field(default_factory=dict)

    @property
    def networks(self) -> list[str]:
        """The trained methods it was scored with, the last phase first; `pretrained` is not there if it was skipped."""
        return [network for network in PHASE_OF if all(network in by for by in self.methods.values())]


def compare(file: Path) -> None:
    """Train all systems of a comparison file that are not trained yet; write their tables and their figure.

    Raises:
        Stopped: somebody asked; the same command goes on.
        UserError: the file or git is not in order, or a training failed.
    """
    command = f"glcic compare {shlex.quote(str(file))}"
    with alone(command) as stop:
        comparison = read_comparison(file)
        tables = runs_of(comparison, file, paths.PRESETS, paths.PARAMS)
        runs = {name: run for table in tables.values() for name, run in table.items()}
        check_git(file)
        commits = train(runs, stop, command, shared="crop")
        _collect(comparison.about, tables, commits, stop, command)


def read_comparison(path: Path) -> Comparison:
    """Read and validate the file.

    Raises:
        UserError: it is missing, no YAML, or has unknown, missing or misspelt fields.
    """
    tree = read_yaml(path, "name a comparison file, or write one (see README.md)")
    comparison = validate_as(Comparison, tree, path, "add it")
    for title, table in comparison.tables.items():
        for name in table.runs:
            if not _NAME.fullmatch(name):
                raise UserError(f"{path}: {title}.runs.{name}: a name is made of letters, digits, _ and -; rename it")
    return comparison


def runs_of(comparison: Comparison, path: Path, folder: Path, params: Path) -> dict[str, dict[str, Run]]:
    """The runs of each table, by name, in the file's order.

    Args:
        path: of the comparison file, named in errors.
        folder: of the presets.
        params: the present parameters, whose sections runtime and tracking every run takes.

    Raises:
        UserError: a parameter is wrong, the runs do not share data and holes, or two runs share a name.
    """
    tables: dict[str, dict[str, Run]] = {}
    known: dict[str, Run] = {}
    for title, table in comparison.tables.items():
        tables[title] = {}
        for name, entry in table.runs.items():
            place = Path(f"{path}: {title}.runs.{name}")
            run = _run(name, entry.preset, folder, params, (place, table.base), (place, entry.overlay))
            twin = known.setdefault(name, run)
            if twin.decisive != run.decisive:
                raise UserError(f"{place}: the other table has a run of this name with other parameters; rename it")
            tables[title][name] = run
    first, *others = known.values()
    for run in others:
        for dotted in SHARED:
            if _dig(run.decisive, dotted) != _dig(first.decisive, dotted):
                raise UserError(
                    f"{path}: {run.name} and {first.name} differ in {dotted}; equal conditions need the same images "
                    "and holes: set it in base, not in one run"
                )
    return tables


def _run(name: str, preset: str, folder: Path, params: Path, *overlays: tuple[Path, Mapping[str, Any]]) -> Run:
    place = overlays[-1][0]
    own = presets.overlays_of(preset, folder, f"{place}: ")
    return run_of(name, presets.preset_tree(folder, [*own, *overlays, (place, {"preset": name})], params), place)


def _dig(tree: Any, dotted: str) -> Any:
    return reduce(getitem, dotted.split("."), tree)


def _collect(
    about: str, tables: Mapping[str, Mapping[str, Run]], commits: Mapping[str, str], stop: StopRequest, command: str
) -> None:
    """Write the tables and the figure from the experiments' commits and weights."""
    import torch

    from glcic.data.faces import Faces
    from glcic.evaluation.figures import systems_figure
    from glcic.evaluation.mask_sets import draw_all, in_white, shown

    torch.set_num_threads(load(paths.PARAMS).runtime.threads)
    test = Faces(paths.FACES, "test")
    params = next(iter(tables["systems"].values())).params
    holes = draw_all(params.evaluate, len(test), test.size)  # the same for all runs
    items, masks = shown(holes, FIGURE_IMAGES)
    truth = test.read(items)
    pictures = {"input": in_white(truth, masks), "ground truth": truth}
    trained: dict[str, TrainedRun] = {}
    for name, run in {name: run for table in tables.values() for name, run in table.items()}.items():
        stop.check()
        trained[name], complete = _trained(run, commits[name])
        if name in tables["systems"]:
            pictures[name] = complete(truth, masks)
    written = [SYSTEMS, FIGURE]
    for title, table in tables.items():
        written.append(paths.REPORT.folder / f"{title}.csv")
        write_table(written[-1], [trained[name] for name in table])
    images = {split: len(Faces(paths.FACES, split)) for split in paths.SPLITS}
    found = {title: [trained[name] for name in table] for title, table in tables.items()}
    text = report(about, found, images, command, {mask_set.name: mask_set.sha256 for mask_set in holes})
    write_text(SYSTEMS, text)
    systems_figure(FIGURE, pictures)
    print(f"wrote {', '.join(map(str, written))}", flush=True)


def _trained(run: Run, commit: str) -> tuple[TrainedRun, Callable[[Any, Any], Any]]:
    """What the tables say of a run, and its last phase's network as a function."""
    from glcic import tracking
    from glcic.evaluation.tables import read_methods
    from glcic.inference.completer import Completer

    methods = read_methods(git("show", f"{commit}:./{paths.REPORT.methods}"))
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / paths.COMPLETION
        take_outputs(commit, [paths.COMPLETION], Path(folder))
        if not weights.exists():
            raise UserError(
                f"{paths.COMPLETION} of experiment {run.name} is not in DVC's cache; run `dvc exp remove {run.name}` "
                "and this command again, to train it anew"
            )
        completer = Completer(weights)
    parameters = sum(parameter.numel() for parameter in completer.network.parameters())
    wanted = {phase: f"{phase}/images_per_second" for phase in PHASE_OF.values()}
    recorded = tracking.recorded(paths.ROOT, run.params.model_dump(mode="json"), wanted.values())
    speeds = {phase: recorded[name] for phase, name in wanted.items() if name in recorded}
    return TrainedRun(run, methods, parameters, speeds), completer


def write_table(path: Path, trained: Iterable[TrainedRun]) -> None:
    """One row per run, mask set and phase, with the columns CSV_COLUMNS; what is unknown is an empty cell."""
    import pandas as pd

    rows = []
    for one in trained:
        for mask_set, by_method in one.methods.items():
            for network in reversed(one.networks):
                speed = one.speeds.get(PHASE_OF[network])
                own = (one.run.name, mask_set, PHASE_OF[network], one.parameters, speed and round(speed, 1))
                rows.append([*own, *(by_method[network][metric] for metric in MAIN_METRICS)])
    write_csv(path, pd.DataFrame(rows, columns=pd.Index(CSV_COLUMNS)))


def report(
    about: str,
    tables: Mapping[str, Sequence[TrainedRun]],
    images: Mapping[str, int],
    command: str,
    holes: Mapping[str, str],
) -> str:
    """The tables as Markdown.

    Args:
        about: a paragraph for the reader.
        tables: trained runs by table.
        images: number of images in train, val and test.
        command: that made them.
        holes: SHA-256 of each mask set (`glcic.evaluation.mask_sets.MaskSet`).
    """
    from glcic.report.words import markdown  # imports pandas

    first = tables["systems"][0]
    params = first.run.params
    size = params.crop.size
    parts = [
        "# Systems under equal conditions",
        f"Every system saw the same {images['train']} training images, S = {size}, seed {params.seed}; the scores are "
        f"means over the same {images['test']} test images with the same holes ({', '.join(first.methods)}), of 8-bit "
        f"composites. {images['val']} validation images. L1 hole, L1: lower is better; PSNR, SSIM: higher is better. "
        "Each table is sorted by the PSNR of a run's last phase; images/s is the speed of that phase's training, where "
        "it was recorded.",
        f"SHA-256 of the holes: {', '.join(f'{name} `{sha256}`' for name, sha256 in holes.items())}.",
        *([about.strip()] if about else []),
        f"Made by `{command}`.",
    ]
    for title, trained in tables.items():
        parts += [f"## {title.capitalize()}", "Steps × batch of each phase:"]
        parts.append(markdown(["run", *paths.TRAINING_STAGES], [_steps(one.run) for one in trained]))
        for mask_set in first.methods:
            parts.append(f"### {title.capitalize()}, mask set {mask_set}")
            parts.append(markdown(["run", "phase", "parameters", "images/s", *TITLES], _ranked(trained, mask_set)))
    parts += ["## Classical baselines", markdown(["mask set", "method", *TITLES], _baselines(first))]
    return "\n\n".join(parts) + "\n"


def _steps(run: Run) -> list[str]:
    phases = [getattr(run.params, stage) for stage in paths.TRAINING_STAGES]
    return [run.name, *(f"{phase.steps:,} × {phase.batch}" if phase.steps else "–" for phase in phases)]


def _ranked(trained: Sequence[TrainedRun], mask_set: str) -> list[list[str]]:
    """A row for each phase of each run, best PSNR of a run's last phase first; undefined ones last."""
    from glcic.report.words import number

    def rank(one: TrainedRun) -> tuple[float, str]:
        psnr = one.methods[mask_set][one.networks[0]]["psnr"]
        return (float("inf") if psnr is None else -psnr), one.run.name

    return [
        [
            f"**{one.run.name}**" if network == one.networks[0] else one.run.name,
            PHASE_OF[network],
            f"{one.parameters:,}",
            number(one.speeds.get(PHASE_OF[network]), 1),
            *_scores(one.methods[mask_set][network]),
        ]
        for one in sorted(trained, key=rank)
        for network in one.networks
    ]


def _baselines(one: TrainedRun) -> list[list[str]]:
    """A row for each mask set and classical method; they are the same for all runs."""
    classical = [method for method in METHODS if method not in (*PHASE_OF, "blended")]
    return [
        [mask_set, METHODS[method], *_scores(by_method[method])]
        for mask_set, by_method in one.methods.items()
        for method in classical
        if method in by_method
    ]


def _scores(scores: Mapping[str, float | None]) -> list[str]:
    from glcic.report.words import number

    return [number(scores[metric], ALL[metric].digits) for metric in MAIN_METRICS]
