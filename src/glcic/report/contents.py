"""A report's folder, read: everything that its page and the model card tell."""

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from glcic.errors import UserError
from glcic.evaluation.definitions import RANKS
from glcic.evaluation.tables import Scores, read_methods
from glcic.files import sha256_of
from glcic.networks.weights import read_about
from glcic.params import Params
from glcic.paths import TRAINING_STAGES, ReportFolder

METHOD = "completion"  # whose report it is
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # of batch norm: kept with weights, not learnt

HASHES = dict.fromkeys(("sha256", "faces_sha256"), str)  # one of nothing but digits would become a number

Curve = list[dict[str, float]]  # one mapping per validation, without what was not measured then


@dataclass(frozen=True)
class Weights:
    """What a weights file says of itself.

    Attributes:
        parameters: numbers that were learnt.
        step: of the last phase.
    """

    name: str
    sha256: str
    parameters: int
    step: int


@dataclass(frozen=True)
class Shown:
    """Test images that were completed best, worst, or like most of them.

    Attributes:
        top, bottom: rows of pictures in the gallery's grid, the latter not included.
        l1_hole: of each.
    """

    picture: Path
    rank: str
    top: int
    bottom: int
    l1_hole: list[float]


@dataclass(frozen=True)
class Scored:
    """The means and how sure they are.

    Attributes:
        methods: {mask set: {method: scores}}.
        intervals: the table of that name; empty where nobody has made it.
    """

    methods: dict[str, dict[str, Scores]]
    intervals: pd.DataFrame

    @property
    def metrics(self) -> list[str]:
        """Those of methods.csv, in its order."""
        return list(next(iter(next(iter(self.methods.values())).values())))

    @property
    def images(self) -> int | None:
        """Of the test split, scored with each mask set; None without intervals."""
        return int((self.intervals["images"] + self.intervals["undefined"]).max()) if len(self.intervals) else None

    @property
    def people(self) -> int | None:
        """Who are on them; None where nobody knows, or nobody is on two."""
        clusters = int(self.intervals["clusters"].max()) if len(self.intervals) else None
        return clusters if clusters != self.images else None

    @cached_property
    def _intervals(self) -> dict[tuple[str, str, str], dict[str, Any]]:
        rows: list[dict[Any, Any]] = self.intervals.to_dict("records")
        return {(row["mask_set"], row["method"], row["metric"]): row for row in rows}

    def interval(self, mask_set: str, method: str, metric: str) -> dict[str, Any]:
        """The row of the table; empty if there is none, as for scores of whole mask sets."""
        return self._intervals.get((mask_set, method, metric), {})


@dataclass(frozen=True)
class Contents(Scored):
    """What stands in a report's folder, and what it was made of.

    Attributes:
        place: the folder, for commands.
        masks: the manifest's rows of the test split, by mask set.
        curves: by stage, of those that were trained.
        figure: the picture of completions, if there is one.
        gallery: by mask set.
        summary: of the packed faces, if it is known.
        weights: of the last phase, if they are there.
    """

    place: str
    params: Params
    differences: pd.DataFrame
    slices: pd.DataFrame
    masks: dict[str, dict[str, Any]]
    curves: dict[str, Curve]
    figure: Path | None
    gallery: dict[str, list[Shown]]
    summary: Mapping[str, Any] | None
    weights: Weights | None


def read_contents(folder: Path, params: Params, summary: Path | None = None, weights: Path | None = None) -> Contents:
    """Read a report's folder. Pictures and curves that are not there are passed over.

    Raises:
        UserError: a table is missing or broken.
    """
    files = ReportFolder(folder)
    scored = read_scored(folder)
    curves = {stage: read_curve(files.curve(stage)) for stage in TRAINING_STAGES}
    figures = [path for path in (files.figure, files.kept_figure) if path.is_file()]
    return Contents(
        place="" if folder.is_absolute() else folder.as_posix(),
        params=params,
        methods=scored.methods,
        intervals=scored.intervals,
        differences=read_table(files.differences),
        slices=read_table(files.slices),
        masks=_manifest(files.manifest),
        curves={stage: curve for stage, curve in curves.items() if curve},
        figure=figures[0] if figures else None,
        gallery=_gallery(files.gallery),
        summary=json.loads(summary.read_text(encoding="utf-8")) if summary is not None else None,
        weights=read_weights(weights) if weights is not None else None,
    )


def read_scored(folder: Path) -> Scored:
    """The scores of a report's folder, with their intervals if they are there.

    Raises:
        UserError: methods.csv is missing, or a table is broken.
    """
    files = ReportFolder(folder)
    try:
        methods = read_methods(files.methods.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{files.methods}: no such file; run `dvc repro` first") from None
    except (KeyError, ValueError) as error:
        raise UserError(f"{files.methods} is no table of mask sets, methods and scores: {error}; restore it") from None
    if not methods:
        raise UserError(f"{files.methods}: no scores in it; run `dvc repro`")
    return Scored(methods, read_table(files.intervals) if files.intervals.exists() else pd.DataFrame())


def read_table(path: Path) -> pd.DataFrame:
    """A table of the report.

    Raises:
        UserError: it is missing or empty.
    """
    try:
        return pd.read_csv(path, dtype=HASHES)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run `dvc repro` first") from None
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no table: {error}; restore it, or run `dvc repro`") from None


def read_curve(path: Path) -> Curve:
    """The points of a learning curve; none of a phase that was skipped, or whose file is not there."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = [{name: float(text) for name, text in row.items() if text} for row in csv.DictReader(file)]
    points = [{name: value for name, value in row.items() if math.isfinite(value)} for row in rows if row]
    return points if points and points[-1]["step"] else []  # a skipped phase has one point, of step 0


def read_weights(path: Path) -> Weights:
    """What is known of a weights file.

    Raises:
        UserError: it is missing or no weights file of this project.
    """
    about, shapes = read_about(path)
    learnt = sum(math.prod(shape) for name, shape in shapes.items() if not name.endswith(STATISTICS))
    return Weights(path.name, sha256_of(path), learnt, int(about["step"]))


def _manifest(path: Path) -> dict[str, dict[str, Any]]:
    table = read_table(path)
    rows = table[table["split"] == "test"].to_dict("records")
    return {str(row["mask_set"]): {str(name): value for name, value in row.items()} for row in rows}


def _gallery(folder: Path) -> dict[str, list[Shown]]:
    if not (folder / "index.csv").is_file():
        return {}
    found: dict[str, list[Shown]] = {}
    for name, of_set in read_table(folder / "index.csv").groupby("mask_set", sort=False):
        picture = folder / f"{name}.png"
        if not picture.is_file():
            continue
        ranks = of_set["rank"].tolist()
        found[str(name)] = [
            Shown(
                picture,
                rank,
                ranks.index(rank),
                ranks.index(rank) + ranks.count(rank),
                of_set.loc[of_set["rank"] == rank, "l1_hole"].tolist(),
            )
            for rank in RANKS
            if rank in ranks
        ]
    return found


def records(table: pd.DataFrame) -> list[Any]:
    """Rows as objects, with the columns' names as attributes."""
    return list(table.itertuples(index=False))
