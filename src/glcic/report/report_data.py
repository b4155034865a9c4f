"""Reading of a report folder: all data that its page and the model card show."""

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

METHOD = "completion"  # the method that the report is about
STATISTICS = (
    "running_mean",
    "running_var",
    "num_batches_tracked",
)  # of batch norm: stored with the weights, but not learned

HASHES = dict.fromkeys(
    ("sha256", "images_sha256"), str
)  # read as text, since a hash without letters would become a number

Curve = list[dict[str, float]]  # one mapping per validation, without values that were not measured


@dataclass(frozen=True)
class Weights:
    """Facts about a weights file.

    Attributes:
        name: name of the file.
        sha256: SHA-256 of the file in hexadecimal.
        parameters: number of learned parameters.
        step: step of the last phase.
    """

    name: str
    sha256: str
    parameters: int
    step: int


@dataclass(frozen=True)
class Shown:
    """Test images of one rank (best, median or worst) in a gallery.

    Attributes:
        picture: file of the gallery's grid.
        rank: a name in `definitions.RANKS`.
        rows: number of rows of the whole grid.
        top, bottom: first row of this rank, and the row after the last.
        l1_hole: L1 over the hole of each image.
    """

    picture: Path
    rank: str
    rows: int
    top: int
    bottom: int
    l1_hole: list[float]


@dataclass(frozen=True)
class Scored:
    """Mean scores and their intervals.

    Attributes:
        methods: {mask set: {method: scores}}.
        intervals: the table intervals.csv; empty if it does not exist.
    """

    methods: dict[str, dict[str, Scores]]
    intervals: pd.DataFrame

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics in methods.csv, in its order."""
        return list(next(iter(next(iter(self.methods.values())).values())))

    @property
    def images(self) -> int | None:
        """Number of test images, each scored with all mask sets; None without intervals."""
        return int((self.intervals["images"] + self.intervals["undefined"]).max()) if len(self.intervals) else None

    @property
    def people(self) -> int | None:
        """Number of people on the test images; None if unknown, or if nobody is on more than one image."""
        clusters = int(self.intervals["clusters"].max()) if len(self.intervals) else None
        return clusters if clusters != self.images else None

    @cached_property
    def _intervals(self) -> dict[tuple[str, str, str], dict[str, Any]]:
        rows: list[dict[Any, Any]] = self.intervals.to_dict("records")
        return {(row["mask_set"], row["method"], row["metric"]): row for row in rows}

    def interval(self, mask_set: str, method: str, metric: str) -> dict[str, Any]:
        """Return a row of intervals.csv; empty if there is none, as for FID and KID."""
        return self._intervals.get((mask_set, method, metric), {})

    def fewer(self, mask_set: str, method: str) -> int | None:
        """Number of images that a method was scored on, if it is not the whole split; None if it is, or is unknown."""
        row = self.interval(mask_set, method, self.metrics[0])
        scored = int(row["images"] + row["undefined"]) if row else None
        return scored if scored != self.images else None


@dataclass(frozen=True)
class ReportData(Scored):
    """Contents of a report folder, and information about its data and weights.

    Attributes:
        place: the folder, as written in commands.
        params: parameters of the run.
        differences: the table differences.csv.
        slices: the table slices.csv.
        masks: rows of the manifest for the test split, by mask set.
        curves: curves of the stages that were trained, by stage.
        figure: file of the figure of completions, if it exists.
        gallery: galleries by mask set.
        summary: summary of the packed images, if known.
        weights: weights of the last phase, if known.
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


def read_report(folder: Path, params: Params, summary: Path | None = None, weights: Path | None = None) -> ReportData:
    """Read a report folder. Missing pictures and curves are ignored.

    Args:
        folder: the report folder.
        params: parameters of the run.
        summary: file of the packed images' summary, if available.
        weights: file of the weights of the last phase, if available.

    Raises:
        UserError: a table is missing or broken.
    """
    files = ReportFolder(folder)
    scored = read_scored(folder)
    curves = {stage: read_curve(files.curve(stage)) for stage in TRAINING_STAGES}
    figures = [path for path in (files.figure, files.kept_figure) if path.is_file()]
    return ReportData(
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
    """Read the scores of a report folder, and their intervals if they exist.

    Raises:
        UserError: methods.csv is missing, or a table is broken.
    """
    files = ReportFolder(folder)
    try:
        methods = read_methods(files.methods.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{files.methods}: no such file; run `dvc repro` first") from None
    except (KeyError, ValueError) as error:
        raise UserError(
            f"{files.methods} is not a table of mask sets, methods and scores: {error}; restore it"
        ) from None
    if not methods:
        raise UserError(f"{files.methods}: no scores in it; run `dvc repro`")
    return Scored(methods, read_table(files.intervals) if files.intervals.exists() else pd.DataFrame())


def read_table(path: Path) -> pd.DataFrame:
    """Read a table of the report.

    Raises:
        UserError: the table is missing, empty or not valid CSV.
    """
    try:
        return pd.read_csv(path, dtype=HASHES)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run `dvc repro` first") from None
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a valid table: {error}; restore it, or run `dvc repro`") from None


def read_curve(path: Path) -> Curve:
    """Read the points of a learning curve; none if the phase was skipped or the file does not exist."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = [{name: float(text) for name, text in row.items() if text} for row in csv.DictReader(file)]
    points = [{name: value for name, value in row.items() if math.isfinite(value)} for row in rows if row]
    return points if points and points[-1]["step"] else []  # a skipped phase has a single point, at step 0


def read_weights(path: Path) -> Weights:
    """Read the facts about a weights file.

    Raises:
        UserError: the file is missing or is not a weights file of this project.
    """
    about, shapes = read_about(path)
    learned = sum(math.prod(shape) for name, shape in shapes.items() if not name.endswith(STATISTICS))
    return Weights(path.name, sha256_of(path), learned, int(about["step"]))


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
                len(ranks),
                ranks.index(rank),
                ranks.index(rank) + ranks.count(rank),
                of_set.loc[of_set["rank"] == rank, "l1_hole"].tolist(),
            )
            for rank in RANKS
            if rank in ranks
        ]
    return found


def records(table: pd.DataFrame) -> list[Any]:
    """Convert the rows of a table to objects, with the column names as attributes."""
    return list(table.itertuples(index=False))
