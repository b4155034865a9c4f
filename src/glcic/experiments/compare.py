"""Comparison of several systems under equal conditions: `glcic compare comparison.yaml`."""

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
from glcic.evaluation.definitions import ALL, MAIN_METRICS, METHODS, SLOW
from glcic.experiments import presets
from glcic.experiments.repository import check_git, git, take_outputs
from glcic.experiments.runs import PHASE_OF, Run, alone, run_of, train
from glcic.files import write_csv, write_text
from glcic.params import Section, load, read_yaml, validate_as
from glcic.training.stop import StopRequest

# Equal conditions: the same images, and the same masks of the test split.
SHARED = ("seed", "download", "crop", "evaluate.mask_sets", "evaluate.mask_seed", "evaluate.images")
CSV_COLUMNS = ("preset", "mask", "phase", "parameters", "images_per_second", *MAIN_METRICS)
TITLES = [ALL[metric].title for metric in MAIN_METRICS]
SYSTEMS, FIGURE = paths.REPORT.folder / "systems.md", paths.REPORT.figures / "systems.png"
FIGURE_IMAGES = 6  # of the test split
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")  # names that both git and DVC accept for an experiment


class RunEntry(Section):
    """A preset, and an overlay for this run alone."""

    preset: str
    overlay: dict[str, Any] = Field(default_factory=dict)


class RunTable(Section):
    """The runs of one table."""

    base: dict[str, Any] = Field(default_factory=dict)
    runs: dict[str, RunEntry] = Field(min_length=1)


class Comparison(Section):
    """Contents of comparison.yaml.

    Attributes:
        about: description of the conditions, printed in the report.
        systems: the compared systems.
        ablation: optional second table.
    """

    about: str = ""
    systems: RunTable
    ablation: RunTable | None = None

    @property
    def tables(self) -> dict[str, RunTable]:
        """The tables that the file has, by name."""
        return {"systems": self.systems, **({"ablation": self.ablation} if self.ablation else {})}


@dataclass
class TrainedRun:
    """Results of a finished run.

    Attributes:
        run: the run.
        methods: {mask set: {method: {metric: value}}}, as in reports/methods.csv.
        parameters: number of parameters of the generator.
        speeds: images per second by phase; unrecorded phases are missing.
    """

    run: Run
    methods: dict[str, dict[str, dict[str, float | None]]]
    parameters: int
    speeds: dict[str, float] = field(default_factory=dict)

    @property
    def networks(self) -> list[str]:
        """Trained methods that were scored, last phase first; `pretrained` is missing if that phase was skipped."""
        return [network for network in PHASE_OF if all(network in by for by in self.methods.values())]


def compare(file: Path) -> None:
    """Train the systems of a comparison file that are not trained yet, and write their tables and figure.

    Raises:
        Stopped: a signal arrived; the same command resumes.
        UserError: the file is invalid, something is not committed, or a training failed.
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
    """Read and validate a comparison file.

    Raises:
        UserError: it is missing, is not YAML, or has unknown or missing fields.
    """
    tree = read_yaml(path, "name a comparison file, or write one (see docs/systems.md)")
    comparison = validate_as(Comparison, tree, path, "add it")
    for title, table in comparison.tables.items():
        for name in table.runs:
            if not _NAME.fullmatch(name):
                raise UserError(f"{path}: {title}.runs.{name}: a name is made of letters, digits, _ and -; rename it")
    return comparison


def runs_of(comparison: Comparison, path: Path, folder: Path, params: Path) -> dict[str, dict[str, Run]]:
    """Runs of each table, by name, in the order of the file.

    Args:
        comparison: contents of the file.
        path: the comparison file, named in errors.
        folder: folder of the presets.
        params: the current parameter file; every run takes its sections runtime and tracking.

    Raises:
        UserError: a parameter is wrong, the runs do not share data and masks, or two runs share a name.
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
                raise UserError(f"{place}: the other table has a run with this name but other parameters; rename it")
            tables[title][name] = run
    first, *others = known.values()
    for run in others:
        for dotted in SHARED:
            if _dig(run.decisive, dotted) != _dig(first.decisive, dotted):
                raise UserError(
                    f"{path}: {run.name} and {first.name} differ in {dotted}; equal conditions need the same images "
                    "and masks: set it in base, not in one run"
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

    from glcic.data.packed import PackedImages
    from glcic.evaluation.figures import systems_figure
    from glcic.evaluation.mask_sets import draw_all, in_white, shown

    torch.set_num_threads(load(paths.PARAMS).runtime.num_threads)
    test = PackedImages(paths.IMAGES, "test")
    params = next(iter(tables["systems"].values())).params
    mask_sets = draw_all(params.evaluate, len(test), test.image_size)  # the same for all runs
    items, masks = shown(mask_sets, FIGURE_IMAGES)
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
    images = {split: len(PackedImages(paths.IMAGES, split)) for split in paths.SPLITS}
    found = {title: [trained[name] for name in table] for title, table in tables.items()}
    text = report(about, found, images, command, {mask_set.name: mask_set.sha256 for mask_set in mask_sets})
    write_text(SYSTEMS, text)
    systems_figure(FIGURE, pictures)
    print(f"wrote {', '.join(map(str, written))}", flush=True)


def _trained(run: Run, commit: str) -> tuple[TrainedRun, Callable[[Any, Any], Any]]:
    """Results of a run, and the generator of its last phase as a function."""
    from glcic import tracking
    from glcic.evaluation.tables import read_methods
    from glcic.inference.completer import Completer

    methods = read_methods(git("show", f"{commit}:./{paths.REPORT.methods}"))
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / paths.GENERATOR
        take_outputs(commit, [paths.GENERATOR], Path(folder))
        if not weights.exists():
            raise UserError(
                f"{paths.GENERATOR} of experiment {run.name} is not in DVC's cache; run `dvc exp remove {run.name}` "
                "and then this command again to retrain it"
            )
        completer = Completer(weights)
    parameters = sum(parameter.numel() for parameter in completer.network.parameters())
    wanted = {phase: f"{phase}/images_per_second" for phase in PHASE_OF.values()}
    recorded = tracking.recorded(paths.ROOT, run.params.model_dump(mode="json"), wanted.values())
    speeds = {phase: recorded[name] for phase, name in wanted.items() if name in recorded}
    return TrainedRun(run, methods, parameters, speeds), completer


def write_table(path: Path, trained: Iterable[TrainedRun]) -> None:
    """Write one row per run, mask set and phase, with the columns CSV_COLUMNS; unknown values are empty cells."""
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
    masks: Mapping[str, str],
) -> str:
    """Format the tables as Markdown.

    Args:
        about: description of the conditions.
        tables: trained runs by table.
        images: number of images in train, val and test.
        command: the command that made the tables.
        masks: SHA-256 of each mask set (`glcic.evaluation.mask_sets.MaskSet`).
    """
    from glcic.report.formatting import listed, markdown  # imports pandas

    first = tables["systems"][0]
    params = first.run.params
    size = params.crop.image_size
    parts = [
        "# Systems under equal conditions",
        f"Every system saw the same {images['train']} training images, S = {size}, seed {params.seed}; the scores are "
        f"means over the same {images['test']} test images with the same masks ({', '.join(first.methods)}), of 8-bit "
        f"composites. {images['val']} validation images. L1 hole, L1: lower is better; PSNR, SSIM: higher is better. "
        "Each table is sorted by the PSNR of a run's last phase; images/s is the speed of that phase's training, where "
        "it was recorded.",
        f"SHA-256 of the masks: {', '.join(f'{name} `{sha256}`' for name, sha256 in masks.items())}.",
        *([about.strip()] if about else []),
        f"Made by `{command}`.",
    ]
    for title, trained in tables.items():
        parts += [f"## {title.capitalize()}", "Steps × batch of each phase:"]
        parts.append(markdown(["run", *paths.TRAINING_STAGES], [_steps(one.run) for one in trained]))
        for mask_set in first.methods:
            parts.append(f"### {title.capitalize()}, mask set {mask_set}")
            parts.append(markdown(["run", "phase", "parameters", "images/s", *TITLES], _ranked(trained, mask_set)))
    parts.append("## Classical baselines")
    if (limit := params.evaluate.images) is not None and limit < images["test"]:
        slow = listed(METHODS[method] for method in SLOW)
        parts.append(f"{slow} are scored on {limit} of the test images, evenly spaced over the split.")
    parts += [markdown(["mask set", "method", *TITLES], _baselines(first))]
    return "\n\n".join(parts) + "\n"


def _steps(run: Run) -> list[str]:
    phases = [getattr(run.params, stage) for stage in paths.TRAINING_STAGES]
    return [run.name, *(f"{phase.steps:,} × {phase.batch_size}" if phase.steps else "–" for phase in phases)]


def _ranked(trained: Sequence[TrainedRun], mask_set: str) -> list[list[str]]:
    """A row for each phase of each run, sorted by the PSNR of the run's last phase; undefined values last."""
    from glcic.report.formatting import number

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
    """A row for each mask set and classical method; all runs share these scores."""
    classical = [method for method in METHODS if method not in (*PHASE_OF, "blended")]
    return [
        [mask_set, METHODS[method], *_scores(by_method[method])]
        for mask_set, by_method in one.methods.items()
        for method in classical
        if method in by_method
    ]


def _scores(scores: Mapping[str, float | None]) -> list[str]:
    from glcic.report.formatting import number

    return [number(scores[metric], ALL[metric].digits) for metric in MAIN_METRICS]
