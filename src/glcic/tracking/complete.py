"""Completing a row from the files of a finished pipeline."""

import csv
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from glcic import paths
from glcic.files import digest_of_files
from glcic.params import leaves
from glcic.paths import ReportFolder
from glcic.report.contents import read_curve
from glcic.tracking.alarmed import JOINT, alarms_of, tag_alarms
from glcic.tracking.cached import copy_stage
from glcic.tracking.data import digest_of, log_data
from glcic.tracking.model import log_model
from glcic.tracking.names import COMPLETE, FINISHED, MODELS, OUT, digest_of_models
from glcic.tracking.parameters import as_yaml, fingerprint, public
from glcic.tracking.points import log_points, points, recorded_points
from glcic.tracking.store import attach, connect, exists, locked, rows, set_tags, warn

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


@dataclass(frozen=True)
class Outputs:
    """The files of a finished pipeline that make its row complete. Those that do not exist are passed over.

    Attributes:
        folder: the project's, or that of a copy of it.
        evaluation: seconds that it took and images per second, if it has just run.
    """

    folder: Path = Path()
    evaluation: Mapping[str, float] = field(default_factory=dict)

    @property
    def report(self) -> ReportFolder:
        return ReportFolder(self.folder / paths.REPORT.folder)

    @property
    def lock(self) -> Path:
        return self.folder / paths.LOCK

    @property
    def tables(self) -> list[Path]:
        report = self.report
        # What `report` makes of an evaluation that has just run is not there yet, but may be left over from another.
        reported = [] if self.evaluation else [report.intervals, report.differences, report.slices]
        return [report.methods, report.manifest, *reported]

    @property
    def figures(self) -> list[Path]:
        return [*(self.report.sample(stage) for stage in paths.TRAINING_STAGES), self.report.figure]

    @property
    def pages(self) -> list[Path]:
        """What people read first."""
        return [] if self.evaluation else [self.report.page]

    def models(self, stage: str) -> Path:
        return self.folder / paths.MODELS / stage

    @property
    def finished(self) -> bool:
        """Whether the pipeline came to its end."""
        return self.report.metrics.is_file()

    @property
    def digest(self) -> str:
        """SHA-256 over what the row is told, but for weights and data, which dvc.lock stands for."""
        curves = [self.report.curve(stage) for stage in paths.TRAINING_STAGES]
        told = {*curves, *self.tables, *self.figures, *self.pages, self.report.metrics, self.lock}
        return digest_of_files(path for path in sorted(told) if path.is_file())


def complete_row(root: Path, params: Mapping[str, Any], outputs: Outputs, title: str | None = None) -> str | None:
    """Complete the row from the files of a finished pipeline; doing it again changes nothing.

    Stages that DVC takes from its cache never run, so that a row may lack points, or not exist at all. What their
    files do not tell (speed, sample grids over steps) is copied from the row that trained the same weights.

    Args:
        root: as in `open_row`, like `params`.
        title: of the row, if there is none yet and it is not to be called as `open_row` would.

    Returns:
        A line to print, or None when tracking is off or has failed.
    """
    if not params["tracking"]["enabled"]:
        return None
    try:
        lock = root / ".glcic" / f"row-{fingerprint(params)[:16]}.lock"  # `make ui` beside the end of an evaluation
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock):
            run = _complete(root, params, outputs, title)
    except Exception as error:  # see the package's docstring
        warn(error)
        return None
    return f"MLflow: run {run.info.run_name} complete (make ui)"


def _complete(root: Path, params: Mapping[str, Any], outputs: Outputs, title: str | None) -> "Run":
    client, run = attach(root, params, lambda rows: _row_of(outputs, rows), title)
    for stage in paths.TRAINING_STAGES:
        if outputs.report.curve(stage).is_file():
            _complete_stage(client, run, stage, outputs.report.curve(stage), outputs.models(stage))
    tag_alarms(client, run, alarms_of(params, JOINT, read_curve(outputs.report.curve(JOINT))))
    metrics = _complete_metrics(client, run, outputs)
    summary = _json(outputs.folder / paths.FACES_SUMMARY)
    if summary:
        log_data(client, run, params, summary)
    _complete_files(client, run, params, outputs)
    if (weights := outputs.folder / paths.COMPLETION).is_file():
        about = {"preset": str(params["preset"]), **({"data": digest_of(summary)} if summary else {})}
        log_model(root, client, run, weights, metrics, about)
    set_tags(client, run, {**_hashes(outputs.lock), COMPLETE: outputs.digest})
    if run.info.status != "FINISHED":
        client.set_terminated(run.info.run_id, "FINISHED")
    return run


def _row_of(outputs: Outputs, rows: "Sequence[Run]") -> "Run | None":
    """The newest row whose stages did not end in other weights; code may have changed since those of others."""
    folders = {stage: outputs.models(stage) for stage in paths.TRAINING_STAGES}
    ended = {MODELS + stage: digest_of_models(path) for stage, path in folders.items() if path.is_dir()}
    fitting = [run for run in rows if all(run.data.tags.get(key, digest) == digest for key, digest in ended.items())]
    return fitting[0] if fitting else None


def is_complete(root: Path, params: Mapping[str, Any], outputs: Outputs) -> bool | None:
    """Whether the outputs of an experiment are in a row, or in none any more since later ones took their place.

    Returns:
        None: tracking has failed.
    """
    if not exists(root):
        return False
    try:
        with locked(root):
            complete = [run for run in rows(connect(root), params) if COMPLETE in run.data.tags]
        scores = _scores(outputs)
        same = [run for run in complete if all(run.data.metrics.get(name) == scores[name] for name in scores)]
        # The same parameters with other scores: the code is another one, and the row of the workspace, or was.
        return any(run.data.tags[COMPLETE] == outputs.digest for run in same) or bool(complete and not same)
    except Exception as error:  # see the package's docstring
        warn(error)
        return None


def _complete_stage(client: "MlflowClient", run: "Run", stage: str, curve: Path, models: Path) -> None:
    if models.is_dir():
        digest = digest_of_models(models)
        if MODELS + stage not in run.data.tags:  # it was not trained in this row
            copy_stage(client, run, stage, digest)
        set_tags(client, run, {MODELS + stage: digest})
    present = recorded_points(client, run, stage)
    with curve.open(newline="", encoding="utf-8") as file:
        missing = [point for point in points(stage, csv.DictReader(file)) if point[:2] not in present]
    log_points(client, run.info.run_id, missing)
    set_tags(client, run, {FINISHED + stage: "true"})


def _complete_metrics(client: "MlflowClient", run: "Run", outputs: Outputs) -> dict[str, float]:
    numbers = _scores(outputs)
    known = numbers | {f"evaluate/{key}": value for key, value in outputs.evaluation.items()}
    changed = {key: value for key, value in known.items() if run.data.metrics.get(key) != value}
    log_points(client, run.info.run_id, [(key, 0, float(value)) for key, value in changed.items()])
    return numbers


def _scores(outputs: Outputs) -> dict[str, float]:
    found = leaves(_json(outputs.report.metrics))
    return {"/".join(keys): value for keys, value in found if type(value) in (int, float)}  # no bool


def _complete_files(client: "MlflowClient", run: "Run", params: Mapping[str, Any], outputs: Outputs) -> None:
    texts = {"params.yaml": public(params), "dvc.lock": public(_lock(outputs.lock))}  # it repeats the parameters
    with tempfile.TemporaryDirectory() as folder:
        for name in [name for name, tree in texts.items() if tree]:
            (Path(folder) / name).write_text(as_yaml(texts[name]), encoding="utf-8")
        _upload(client, run, [Path(folder) / name for name in texts], None)
    _upload(client, run, outputs.tables, "tables")
    _upload(client, run, outputs.figures, "figures")
    _upload(client, run, outputs.pages, None)


def _upload(client: "MlflowClient", run: "Run", paths: Iterable[Path], place: str | None) -> None:
    """Upload the files that the row lacks or has with other content."""
    present = {file.path for file in client.list_artifacts(run.info.run_id, place)}
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            artifact = f"{place}/{path.name}" if place else path.name
            if not path.is_file():
                continue
            if artifact in present:
                copy = Path(client.download_artifacts(run.info.run_id, artifact, folder))
                if copy.read_bytes() == path.read_bytes():
                    continue
            client.log_artifact(run.info.run_id, str(path), place)


def _hashes(lock: Path) -> dict[str, str]:
    """The outputs in dvc.lock with their hashes: whoever has a file finds the row that it belongs to."""
    stages = _lock(lock).get("stages", {}).values()
    outs = [out for stage in stages for out in stage.get("outs", [])]
    return {OUT + out["path"]: out["md5"] for out in outs if "md5" in out}


def _lock(path: Path) -> dict[str, Any]:
    from ruamel.yaml import YAML

    return YAML(typ="safe").load(path) if path.is_file() else {}


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
