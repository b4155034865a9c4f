"""Completion of a run from the files of a finished pipeline."""

import csv
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from glcic import paths
from glcic.evaluation.definitions import LOOKS, METRICS
from glcic.evaluation.tables import read_methods
from glcic.files import digest_of_files
from glcic.params import leaves, refuse_models_of_others
from glcic.paths import ReportFolder
from glcic.report.report_data import METHOD, read_curve
from glcic.tracking.alarm_tags import alarms_of, tag_alarms
from glcic.tracking.cached_stage import copy_stage
from glcic.tracking.dataset import digest_of, log_data
from glcic.tracking.metrics import log_points, points, recorded_points
from glcic.tracking.model import log_model
from glcic.tracking.parameters import as_yaml, fingerprint, public
from glcic.tracking.store import attach, connect, exists, locked, runs_of, set_tags, warn
from glcic.tracking.tags import COMPLETE, FINISHED, MODELS, OUT, digest_of_models

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


@dataclass(frozen=True)
class Outputs:
    """Files of a finished pipeline that complete its run. Missing files are skipped.

    Attributes:
        folder: folder of the project, or of a copy of it.
        evaluation: duration in seconds and images per second of the evaluation, if it has just run.
    """

    folder: Path = Path()
    evaluation: Mapping[str, float] = field(default_factory=dict)

    @property
    def report(self) -> ReportFolder:
        """The report folder."""
        return ReportFolder(self.folder / paths.REPORT.folder)

    @property
    def lock(self) -> Path:
        """Path of dvc.lock."""
        return self.folder / paths.LOCK

    @property
    def tables(self) -> list[Path]:
        """The tables of scores and masks."""
        report = self.report
        # Right after an evaluation, the files of the stage `report` are missing or belong to an earlier one.
        reported = [] if self.evaluation else [report.intervals, report.differences, report.slices]
        return [report.methods, report.validation, report.manifest, *reported]

    @property
    def figures(self) -> list[Path]:
        """The sample grids of the training stages and the figure of completions."""
        return [*(self.report.sample(stage) for stage in paths.TRAINING_STAGES), self.report.figure]

    @property
    def pages(self) -> list[Path]:
        """The HTML page of the report."""
        return [] if self.evaluation else [self.report.page]

    def models(self, stage: str) -> Path:
        """Folder of a stage's weights."""
        return self.folder / paths.MODELS / stage

    @property
    def finished(self) -> bool:
        """Whether the evaluation has written its metrics."""
        return self.report.metrics.is_file()

    @property
    def digest(self) -> str:
        """SHA-256 over the files that go into the run; dvc.lock stands for weights and data."""
        curves = [self.report.curve(stage) for stage in paths.TRAINING_STAGES]
        files = {*curves, *self.tables, *self.figures, *self.pages, self.report.metrics, self.lock}
        return digest_of_files(path for path in sorted(files) if path.is_file())


def complete_run(root: Path, params: Mapping[str, Any], outputs: Outputs, title: str | None = None) -> str | None:
    """Complete the run from the files of a finished pipeline; a second call changes nothing.

    Stages that DVC takes from its cache never run, so a run may lack points or not exist at all. What the files do
    not contain (speed, sample grids over steps) is copied from the run that trained the same weights.

    Args:
        root: folder of the store, as in `open_run`.
        params: the whole parameter file.
        outputs: files of the pipeline.
        title: name of a new run; None: the name that `open_run` would give.

    Returns:
        A line to print, or None if tracking is off or has failed.

    Raises:
        UserError: the models were trained with other parameters.
    """
    if not params["tracking"]["enabled"]:
        return None
    refuse_models_of_others(outputs.folder / paths.MODELS, params)
    try:
        lock = root / ".glcic" / f"run-{fingerprint(params)[:16]}.lock"  # `make ui` may run at the same time
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock):
            run = _complete(root, params, outputs, title)
    except Exception as error:  # see the package's docstring
        warn(error)
        return None
    return f"MLflow: run {run.info.run_name} complete (make ui)"


def _complete(root: Path, params: Mapping[str, Any], outputs: Outputs, title: str | None) -> "Run":
    client, run = attach(root, params, lambda runs: _run_of(outputs, runs), title)
    for stage in paths.TRAINING_STAGES:
        if outputs.report.curve(stage).is_file():
            _complete_stage(client, run, stage, outputs.report.curve(stage), outputs.models(stage))
        tag_alarms(client, run, stage, alarms_of(params, stage, read_curve(outputs.report.curve(stage))))
    metrics = _complete_metrics(client, run, outputs)
    summary = _json(outputs.folder / paths.IMAGES_SUMMARY)
    if summary:
        log_data(client, run, params, summary)
    _complete_files(client, run, params, outputs)
    if (weights := outputs.folder / paths.GENERATOR).is_file():
        about = {"preset": str(params["preset"]), **({"data": digest_of(summary)} if summary else {})}
        log_model(root, client, run, weights, metrics, about)
    set_tags(client, run, {**_hashes(outputs.lock), COMPLETE: outputs.digest})
    if run.info.status != "FINISHED":
        client.set_terminated(run.info.run_id, "FINISHED")
    return run


def _run_of(outputs: Outputs, runs: "Sequence[Run]") -> "Run | None":
    """The newest run whose recorded weights match the outputs; the code may have changed since other runs."""
    folders = {stage: outputs.models(stage) for stage in paths.TRAINING_STAGES}
    digests = {MODELS + stage: digest_of_models(path) for stage, path in folders.items() if path.is_dir()}
    matching = [run for run in runs if all(run.data.tags.get(key, digest) == digest for key, digest in digests.items())]
    return matching[0] if matching else None


def is_complete(root: Path, params: Mapping[str, Any], outputs: Outputs) -> bool | None:
    """Whether a run holds the outputs of an experiment, or later outputs have replaced them.

    Returns:
        None if tracking has failed.
    """
    if not exists(root):
        return False
    try:
        with locked(root):
            complete = [run for run in runs_of(connect(root), params) if COMPLETE in run.data.tags]
        scores = _scores(outputs)
        same = [run for run in complete if all(run.data.metrics.get(name) == scores[name] for name in scores)]
        # Same parameters but other scores: the code has changed, and the run belongs to the workspace, now or earlier.
        return any(run.data.tags[COMPLETE] == outputs.digest for run in same) or bool(complete and not same)
    except Exception as error:  # see the package's docstring
        warn(error)
        return None


def _complete_stage(client: "MlflowClient", run: "Run", stage: str, curve: Path, models: Path) -> None:
    if models.is_dir():
        digest = digest_of_models(models)
        if MODELS + stage not in run.data.tags:  # not trained in this run
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
    """Scores of our method: `test/psnr`, the mean over the mask sets, and `test/center/psnr`, for one mask set."""
    report = outputs.report
    found = {"/".join(keys): value for keys, value in leaves(_json(report.metrics))}
    for split, table in (("val", report.validation), ("test", report.methods)):
        by_set = read_methods(table.read_text(encoding="utf-8")) if table.is_file() else {}
        scores = {name: methods.get(METHOD, {}) for name, methods in by_set.items()}
        found |= {f"{split}/{name}/{metric}": scores[name].get(metric) for name in scores for metric in METRICS | LOOKS}
    return {name: value for name, value in found.items() if type(value) in (int, float)}  # no bool


def _complete_files(client: "MlflowClient", run: "Run", params: Mapping[str, Any], outputs: Outputs) -> None:
    texts = {"params.yaml": public(params), "dvc.lock": public(_lock(outputs.lock))}  # dvc.lock repeats the parameters
    with tempfile.TemporaryDirectory() as folder:
        for name in [name for name, tree in texts.items() if tree]:
            (Path(folder) / name).write_text(as_yaml(texts[name]), encoding="utf-8")
        _upload(client, run, [Path(folder) / name for name in texts], None)
    _upload(client, run, outputs.tables, "tables")
    _upload(client, run, outputs.figures, "figures")
    _upload(client, run, outputs.pages, None)


def _upload(client: "MlflowClient", run: "Run", paths: Iterable[Path], place: str | None) -> None:
    """Upload files that are missing from the run or differ there."""
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
    """Tags with the hashes of the outputs in dvc.lock, so that the run of a file can be found."""
    stages = _lock(lock).get("stages", {}).values()
    outs = [out for stage in stages for out in stage.get("outs", [])]
    return {OUT + out["path"]: out["md5"] for out in outs if "md5" in out}


def _lock(path: Path) -> dict[str, Any]:
    from ruamel.yaml import YAML

    return YAML(typ="safe").load(path) if path.is_file() else {}


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
