"""Comparisons: which systems comparison.yaml names, and the tables their scores end in."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.comments import CommentedMap

from glcic.errors import UserError
from glcic.experiments import presets
from glcic.files import atomic
from glcic.params import Params, Section, validate

# Equal conditions: the same images, and the same holes of the test split.
SHARED = ("seed", "download", "crop", "evaluate.mask_sets", "evaluate.mask_seed")
PHASES = {"completion": "train_joint", "pretrained": "pretrain_generator"}  # method in methods.csv → its phase
SCORES = {"l1_hole": ("L1 hole %", 2), "l1": ("L1 %", 2), "psnr": ("PSNR dB", 2), "ssim": ("SSIM", 3)}
BASELINES = {"mean_fill": "mean fill", "telea": "Telea", "navier_stokes": "Navier–Stokes"}
COLUMNS = ("preset", "mask", "phase", "parameters", "images_per_second", *SCORES)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")  # what both git and DVC take for an experiment's name


class RunEntry(Section):
    """A preset file, and what is laid over it for this run alone."""

    preset: str
    overlay: dict[str, Any] = Field(default_factory=dict)


class Table(Section):
    """Runs that stand in one table."""

    base: dict[str, Any] = Field(default_factory=dict)
    runs: dict[str, RunEntry] = Field(min_length=1)


class Comparison(Section):
    """The whole of comparison.yaml.

    Attributes:
        about: what the report says of the conditions.
    """

    about: str = ""
    systems: Table
    ablation: Table | None = None

    @property
    def tables(self) -> dict[str, Table]:
        """By name, those that are there."""
        return {"systems": self.systems, **({"ablation": self.ablation} if self.ablation else {})}


@dataclass(frozen=True)
class Run:
    """One system: a name and all of its parameters.

    Attributes:
        text: what params.yaml is to hold.
    """

    name: str
    text: str
    params: Params

    @property
    def method(self) -> dict[str, Any]:
        """The parameters that decide its results."""
        return method(self.params.model_dump(mode="json"))


@dataclass
class Result:
    """What a finished run is remembered for.

    Attributes:
        metrics: {mask set: {method: {score: value}}}, as in reports/methods.csv.
        parameters: of the completion network.
        speeds: images per second by phase; phases that nobody recorded are missing.
    """

    run: Run
    metrics: dict[str, dict[str, dict[str, float | None]]]
    parameters: int
    speeds: dict[str, float] = field(default_factory=dict)

    @property
    def methods(self) -> list[str]:
        """The trained methods it was scored with, the last phase first; `pretrained` is not there if it was skipped."""
        return [m for m in PHASES if all(m in scores for scores in self.metrics.values())]


def method(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters without the sections that belong to the machine, and without the label."""
    return {key: value for key, value in tree.items() if key not in (*presets.KEPT, "preset")}


def read_comparison(path: Path) -> Comparison:
    """Read and validate the file.

    Raises:
        UserError: it is missing, no YAML, or has unknown, missing or misspelt fields.
    """
    try:
        tree = YAML(typ="safe").load(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; name a comparison file, or write one (see README.md)") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    try:
        comparison = Comparison.model_validate(tree)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, f['loc'])) or 'the file'}: {_fault(f)}" for f in error.errors())
        raise UserError(f"{path}: {faults}") from None
    for title, table in comparison.tables.items():
        for name in table.runs:
            if not _NAME.fullmatch(name):
                raise UserError(f"{path}: {title}.runs.{name}: a name is made of letters, digits, _ and -; rename it")
    return comparison


def _fault(fault: Any) -> str:
    known = {
        "extra_forbidden": "there is no such field; correct its name or remove it",
        "missing": "is missing; add it",
    }
    return known.get(fault["type"]) or f"{fault['msg'][0].lower()}{fault['msg'][1:]}"


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
            if twin.method != run.method:
                raise UserError(f"{place}: the other table has a run of this name with other parameters; rename it")
            tables[title][name] = run
    first, *others = known.values()
    for run in others:
        for dotted in SHARED:
            if _dig(run.method, dotted) != _dig(first.method, dotted):
                raise UserError(
                    f"{path}: {run.name} and {first.name} differ in {dotted}; equal conditions need the same images "
                    "and holes: set it in base, not in one run"
                )
    return tables


def _run(name: str, preset: str, folder: Path, params: Path, *overlays: tuple[Path, Mapping[str, Any]]) -> Run:
    path = folder / f"{preset}.yaml"
    if not path.exists():
        known = ", ".join(presets.preset_names(folder)) or "none here: run from the project's root"
        raise UserError(f"{overlays[-1][0]}: preset {preset}: no {path}; there are {known}")
    own = [] if preset == "default" else [(path, presets.read_tree(YAML(typ="safe"), path))]
    tree = presets.preset_tree(folder, [*own, *overlays, (path, {"preset": name})], params)
    return run_of(name, tree, overlays[-1][0])


def run_of(name: str, tree: CommentedMap, place: Path) -> Run:
    """A run of this name with these parameters, comments kept.

    Args:
        place: where the parameters come from, named in errors.

    Raises:
        UserError: a parameter is wrong.
    """
    text = io.StringIO()
    presets.commented_yaml().dump(tree, text)
    return Run(name, text.getvalue(), validate(YAML(typ="safe").load(text.getvalue()), place))


def _dig(tree: Any, dotted: str) -> Any:
    for part in dotted.split("."):
        tree = tree[part]
    return tree


def rows(results: Iterable[Result]) -> list[dict[str, Any]]:
    """One row per run, mask set and phase, with the columns COLUMNS."""
    return [
        {
            "preset": result.run.name,
            "mask": mask,
            "phase": PHASES[m],
            "parameters": result.parameters,
            "images_per_second": result.speeds.get(PHASES[m]),
            **scores[m],
        }
        for result in results
        for mask, scores in result.metrics.items()
        for m in reversed(result.methods)
    ]


def write_csv(path: Path, results: Iterable[Result]) -> None:
    """Write `rows`; what is unknown is an empty cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        for row in rows(results):
            writer.writerow(row | {"images_per_second": _number(row["images_per_second"], 1, unknown="")})


def report(
    about: str,
    tables: Mapping[str, Sequence[Result]],
    images: Mapping[str, int],
    command: str,
    holes: Mapping[str, str],
) -> str:
    """The tables as Markdown.

    Args:
        about: a paragraph for the reader.
        tables: results by table.
        images: number of images in train, val and test.
        command: that made them.
        holes: SHA-256 of each mask set (`glcic.evaluation.mask_sets.MaskSet`).
    """
    first = tables["systems"][0]
    params = first.run.params
    size = params.crop.size
    parts = [
        "# Systems under equal conditions",
        f"Every system saw the same {images['train']} training images, S = {size}, seed {params.seed}; the scores are "
        f"means over the same {images['test']} test images with the same holes ({', '.join(first.metrics)}), of 8-bit "
        f"composites. {images['val']} validation images. L1 hole, L1: lower is better; PSNR, SSIM: higher is better. "
        "Each table is sorted by the PSNR of a run's last phase; images/s is the speed of that phase's training, where "
        "it was recorded.",
        f"SHA-256 of the holes: {', '.join(f'{name} `{sha256}`' for name, sha256 in holes.items())}.",
        *([about.strip()] if about else []),
        f"Made by `{command}`.",
        *(_tables(title, results) for title, results in tables.items()),
        "## Classical baselines",
        markdown(
            ["mask set", "method", *(title for title, _ in SCORES.values())],
            [
                [mask, shown, *_scores(scores[m])]
                for mask, scores in first.metrics.items()
                for m, shown in BASELINES.items()
                if m in scores
            ],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _tables(title: str, results: Sequence[Result]) -> str:
    parts = [f"## {title.capitalize()}", "Steps × batch of each phase:", markdown(*_steps(results))]
    header = ["run", "phase", "parameters", "images/s", *(shown for shown, _ in SCORES.values())]
    for mask in results[0].metrics:
        ranked = sorted(results, key=lambda result: _rank(result, mask))
        table = [
            [
                f"**{result.run.name}**" if m == result.methods[0] else result.run.name,
                PHASES[m],
                f"{result.parameters:,}",
                _number(result.speeds.get(PHASES[m]), 1),
                *_scores(result.metrics[mask][m]),
            ]
            for result in ranked
            for m in result.methods
        ]
        parts += [f"### {title.capitalize()}, mask set {mask}", markdown(header, table)]
    return "\n\n".join(parts)


def _rank(result: Result, mask: str) -> tuple[float, str]:
    """Best PSNR of the last phase first; undefined ones last."""
    psnr = result.metrics[mask][result.methods[0]]["psnr"]
    return (float("inf") if psnr is None else -psnr), result.run.name


def _steps(results: Sequence[Result]) -> tuple[list[str], list[list[str]]]:
    phases = ["pretrain_generator", "pretrain_discriminators", "train_joint"]
    sections = [(result.run.name, [getattr(result.run.params, phase) for phase in phases]) for result in results]
    return ["run", *phases], [
        [name, *(f"{s.steps:,} × {s.batch}" if s.steps else "–" for s in phases)] for name, phases in sections
    ]


def _scores(scores: Mapping[str, float | None]) -> list[str]:
    return [_number(scores[key], digits) for key, (_, digits) in SCORES.items()]


def _number(value: float | None, digits: int, unknown: str = "–") -> str:
    return unknown if value is None else f"{value:.{digits}f}"


def markdown(header: Sequence[str], table: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *table]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
