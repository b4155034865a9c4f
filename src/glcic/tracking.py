"""MLflow: one configuration of the pipeline is one run, here called its *row*, complete by itself.

A row holds every parameter, the curves of all training stages, the final metrics, sample grids and figures.
It is found by a tag that fingerprints the parameters, never by a run id inside an output.

This is the only file that imports mlflow, and only once a row is asked for: importing it takes seconds, and
with tracking off nobody needs it.

Training never dies of tracking: the first failure prints one warning and the rest of the stage goes
unrecorded, until `complete_row` uploads what is missing from the pipeline's outputs.
"""

import csv
import hashlib
import io
import json
import logging
import math
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, TypeVar

from filelock import FileLock

if TYPE_CHECKING:
    import numpy as np
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from numpy.typing import NDArray

FINGERPRINT = "glcic.fingerprint"
FINISHED = "glcic.finished."  # followed by the stage

_UNPRINTED = ("runtime", "tracking")  # the sections that never change a result
_PRIVATE = ("celeba", "images")  # in runtime: where this user keeps pictures
_METRICS_PER_BATCH, _PARAMS_PER_BATCH = 1000, 100  # MLflow's limits
_LOCK_SECONDS = 120

T = TypeVar("T")
Point = tuple[str, int, float]  # metric, step, value


def fingerprint(params: Mapping[str, Any]) -> str:
    """Hash what decides a result: the parameters without `runtime` and `tracking`, as SHA-256 in hex.

    >>> fingerprint({"seed": 1, "runtime": {"threads": 2}}) == fingerprint({"seed": 1})
    True
    """
    method = {key: value for key, value in params.items() if key not in _UNPRINTED}
    canonical = json.dumps(method, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


class Row:
    """Where a training stage records itself. This one records nothing: tracking is off, or has failed."""

    def log_point(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """Record one point of each of the stage's curves; what is not finite is left out."""

    def log_image(self, stage: str, step: int, image: "NDArray[np.uint8]") -> None:
        """Record a sample grid, (H, W, 3), under the stage's time slider."""

    def finish(self, stage: str) -> None:
        """Mark the stage's part of the row as finished."""

    def interrupt(self) -> None:
        """Mark the row as killed, so that it does not look as if it were still running."""


def open_row(
    root: Path,
    params: Mapping[str, Any],
    *,
    name: str,
    stage: str,
    step: int,
    curve: Sequence[Mapping[str, float]] = (),
) -> Row:
    """Find or create the row in which a training stage records itself.

    A stage that starts from nothing but finds its part of the newest row already begun or finished opens a
    new row (`dvc repro --force`, edited code): two different curves must not mix in one.

    Args:
        root: folder of the store (`mlflow.db`, `mlartifacts/`), unless MLFLOW_TRACKING_URI names a server.
        params: the whole parameter file.
        name: first part of a new row's name, which ends in the fingerprint; DVC_EXP_NAME replaces both.
        stage: the stage that is about to train.
        step: the step it starts at, 0 unless it resumes.
        curve: the points in its checkpoint, each with a `step`; those that the row lacks are uploaded.
    """
    if not params["tracking"]["enabled"]:
        return Row()
    try:

        def fits(run: "Run") -> bool:
            finished = FINISHED + stage in run.data.tags
            begun = any(metric.startswith(f"{stage}/") for metric in run.data.metrics)
            return step > 0 or not (finished or (begun and not curve))

        client, run = _attach(root, params, name, fits)
        _tag(client, run, _runtime_tags(params))  # perhaps resumed on another machine
        client.update_run(run.info.run_id, status="RUNNING")
        row = _MlflowRow(client, run, stage)
    except Exception as error:  # see the module's docstring
        _warn(error)
        return Row()
    row.log_curve(stage, curve)
    return row


def complete_row(
    root: Path,
    params: Mapping[str, Any],
    *,
    name: str,
    curves: Mapping[str, Path],
    metrics: Path | None,
    figures: Sequence[Path],
) -> str | None:
    """Complete the row from the files of a finished pipeline; doing it again changes nothing.

    Stages that DVC takes from its cache never run, so that a row may lack points, or not exist at all.

    Args:
        root: as in `open_row`, like `params` and `name`.
        curves: per training stage its CSV file with a `step` column; empty cells are no points.
        metrics: JSON file of nested mappings, scores on the test split; a metric's name is `test/` and its keys
            joined with "/".
        figures: image files, kept as artifacts under `figures/`.

    Files that do not exist are passed over.

    Returns:
        A line to print, or None when tracking is off or has failed.
    """
    if not params["tracking"]["enabled"]:
        return None
    try:
        client, run = _attach(root, params, name)
        for stage, path in curves.items():
            if path.is_file():
                _complete_curve(client, run, stage, path)
        if metrics is not None and metrics.is_file():
            _complete_metrics(client, run, metrics)
        if not any(file.path == "params.yaml" for file in client.list_artifacts(run.info.run_id)):
            client.log_text(run.info.run_id, _as_yaml(_public(params)), "params.yaml")
        _complete_figures(client, run, [path for path in figures if path.is_file()])
        if run.info.status != "FINISHED":
            client.set_terminated(run.info.run_id, "FINISHED")
    except Exception as error:  # see the module's docstring
        _warn(error)
        return None
    where = os.environ.get("MLFLOW_TRACKING_URI") and "on the server"
    return f"MLflow: run {run.info.run_name} complete ({where or 'make ui'})"


def recorded(root: Path, params: Mapping[str, Any], metrics: Iterable[str]) -> dict[str, float]:
    """The last values of metrics in the newest row of these parameters; nothing is created.

    Args:
        root: as in `open_row`, like `params`.
        metrics: their full names, `<stage>/<name>`.

    Returns:
        Those that the row has; none when there is no row, or tracking is off or has failed.
    """
    store = root / "mlflow.db"
    if not params["tracking"]["enabled"] or not (os.environ.get("MLFLOW_TRACKING_URI") or store.is_file()):
        return {}
    try:
        client, _ = _connect(root)
        known = client.get_experiment_by_name(params["tracking"]["experiment"])
        found = known and _rows(client, known.experiment_id, params)
        return {name: found[0].data.metrics[name] for name in metrics if name in found[0].data.metrics} if found else {}
    except Exception as error:  # see the module's docstring
        _warn(error)
        return {}


class _MlflowRow(Row):
    """A row in MLflow, as far as one stage writes it."""

    def __init__(self, client: "MlflowClient", run: "Run", stage: str) -> None:
        self._client = client
        self._id = run.info.run_id
        self._points = _recorded_points(client, run, stage)
        self._images = _recorded_images(client, run, stage)
        self._failed = False

    def log_point(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        self.log_curve(stage, [{"step": step, **values}])

    def log_curve(self, stage: str, curve: Iterable[Mapping[str, float]]) -> None:
        # Steps after the last checkpoint come again when a killed stage resumes; MLflow would keep both.
        new = [point for point in _points(stage, curve) if point[:2] not in self._points]
        self._points.update(point[:2] for point in new)
        self._attempt(lambda: _log_points(self._client, self._id, new))

    def log_image(self, stage: str, step: int, image: "NDArray[np.uint8]") -> None:
        if (stage, step) in self._images:
            return
        self._images.add((stage, step))
        self._attempt(lambda: self._client.log_image(self._id, image, key=stage, step=step, synchronous=True))

    def finish(self, stage: str) -> None:
        # The row's status says whether somebody works on it; between two stages nobody does.
        self._attempt(lambda: self._client.set_tag(self._id, FINISHED + stage, "true"))
        self._attempt(lambda: self._client.set_terminated(self._id, "FINISHED"))

    def interrupt(self) -> None:
        self._attempt(lambda: self._client.set_terminated(self._id, "KILLED"))

    def _attempt(self, action: Callable[[], object]) -> None:
        if self._failed:
            return
        try:
            action()
        except Exception as error:  # see the module's docstring
            self._failed = True
            _warn(error)


def _attach(
    root: Path, params: Mapping[str, Any], name: str, fits: Callable[["Run"], bool] = lambda run: True
) -> tuple["MlflowClient", "Run"]:
    """Connect to the store and find the newest row of these parameters; create one if it does not fit."""
    lock = root / ".glcic" / "mlflow.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    # Two processes that open a fresh SQLite store at once corrupt it for good, and two that look for the same
    # row at once would each create it.
    with FileLock(lock, timeout=_LOCK_SECONDS):
        client, artifacts = _connect(root)
        experiment = _experiment(client, params["tracking"]["experiment"], artifacts)
        mark = fingerprint(params)
        found = _rows(client, experiment, params)
        if found and fits(found[0]):
            run = found[0]
        else:
            tags = {FINGERPRINT: mark, **_runtime_tags(params)}
            title = os.environ.get("DVC_EXP_NAME") or f"{name}-{mark[:8]}"
            run = client.create_run(experiment, tags=tags, run_name=title)
        _log_params(client, run, params)
    return client, run


def _rows(client: "MlflowClient", experiment: str, params: Mapping[str, Any]) -> Sequence["Run"]:
    """The newest row of these parameters, if there is one."""
    mark = f"tags.`{FINGERPRINT}` = '{fingerprint(params)}'"
    return client.search_runs([experiment], mark, max_results=1, order_by=["start_time DESC"])


def _connect(root: Path) -> tuple["MlflowClient", str | None]:
    """A client for the store, and where a new experiment keeps its artifacts (None: the server knows)."""
    for variable, value in {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # a dead server must not hold up training for minutes
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    }.items():
        os.environ.setdefault(variable, value)
    from mlflow import MlflowClient  # reads some of these when it is imported

    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # retries: our one warning says it
    if address := os.environ.get("MLFLOW_TRACKING_URI"):
        return MlflowClient(address), None
    root = root.resolve()
    return MlflowClient(f"sqlite:///{root / 'mlflow.db'}"), (root / "mlartifacts").as_uri()


def _experiment(client: "MlflowClient", name: str, artifacts: str | None) -> str:
    known = client.get_experiment_by_name(name)
    return known.experiment_id if known else client.create_experiment(name, artifact_location=artifacts)


def _log_params(client: "MlflowClient", run: "Run", params: Mapping[str, Any]) -> None:
    """Log what the row lacks: everything if it is new, the rest if its creator died on the way."""
    from mlflow.entities import Param

    method = {key: value for key, value in _public(params).items() if key not in _UNPRINTED}
    missing = [Param(key, _as_text(value)) for key, value in _leaves(method, ".") if key not in run.data.params]
    for batch in _batches(missing, _PARAMS_PER_BATCH):
        client.log_batch(run.info.run_id, params=batch, synchronous=True)


def _tag(client: "MlflowClient", run: "Run", tags: Mapping[str, str]) -> None:
    for key, value in tags.items():
        if run.data.tags.get(key) != value:
            client.set_tag(run.info.run_id, key, value)


def _runtime_tags(params: Mapping[str, Any]) -> dict[str, str]:
    """`runtime` as tags, since it may change between two stages of a row and MLflow's parameters may not."""
    runtime = {"runtime": _public(params).get("runtime", {})}
    return {key: _as_text(value) for key, value in _leaves(runtime, ".") if value is not None}


def _log_points(client: "MlflowClient", run_id: str, points: Iterable[Point]) -> None:
    from mlflow.entities import Metric

    now = time.time_ns() // 1_000_000
    metrics = [Metric(key, value, now, step) for key, step, value in points if math.isfinite(value)]
    for batch in _batches(metrics, _METRICS_PER_BATCH):
        client.log_batch(run_id, metrics=batch, synchronous=True)


def _recorded_points(client: "MlflowClient", run: "Run", stage: str) -> set[tuple[str, int]]:
    """Which points of a stage's curves the row has: (metric, step)."""
    return {
        (key, point.step)
        for key in run.data.metrics
        if key.startswith(f"{stage}/")
        for point in client.get_metric_history(run.info.run_id, key)
    }


def _recorded_images(client: "MlflowClient", run: "Run", stage: str) -> set[tuple[str, int]]:
    """Which steps of a stage's time slider the row has: (stage, step), read from MLflow's file names."""
    pattern = re.compile(rf"images/{re.escape(stage)}\+step\+(\d+)\+")
    files = client.list_artifacts(run.info.run_id, "images")
    return {(stage, int(match[1])) for file in files if (match := pattern.match(file.path))}


def _points(stage: str, curve: Iterable[Mapping[str, Any]]) -> Iterator[Point]:
    """A curve, given by its rows or those of a CSV file, as points; empty cells are none."""
    for row in curve:
        step = int(row["step"])
        for name, value in row.items():
            if name != "step" and value != "":
                yield f"{stage}/{name}", step, float(value)


def _complete_curve(client: "MlflowClient", run: "Run", stage: str, path: Path) -> None:
    present = _recorded_points(client, run, stage)
    with path.open(newline="", encoding="utf-8") as file:
        missing = [point for point in _points(stage, csv.DictReader(file)) if point[:2] not in present]
    _log_points(client, run.info.run_id, missing)
    _tag(client, run, {FINISHED + stage: "true"})


def _complete_metrics(client: "MlflowClient", run: "Run", path: Path) -> None:
    leaves = _leaves(json.loads(path.read_text(encoding="utf-8")), "/")
    numbers = {f"test/{key}": v for key, v in leaves if type(v) in (int, float)}  # a bool is no metric
    changed = [(key, 0, float(value)) for key, value in numbers.items() if run.data.metrics.get(key) != value]
    _log_points(client, run.info.run_id, changed)


def _complete_figures(client: "MlflowClient", run: "Run", figures: Iterable[Path]) -> None:
    present = {file.path for file in client.list_artifacts(run.info.run_id, "figures")}
    with tempfile.TemporaryDirectory() as folder:
        for path in figures:
            artifact = f"figures/{path.name}"
            if artifact in present:
                copy = Path(client.download_artifacts(run.info.run_id, artifact, folder))
                if copy.read_bytes() == path.read_bytes():
                    continue
            client.log_artifact(run.info.run_id, str(path), "figures")


def _public(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as others may see them: no private path, of other absolute paths only the last part."""
    public: dict[str, Any] = _without_folders(params)
    if "runtime" in public:
        public["runtime"].update({key: None for key in _PRIVATE if key in public["runtime"]})
    return public


def _without_folders(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_folders(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_folders(item) for item in value]
    if isinstance(value, str):
        if value.startswith("file:") or PurePosixPath(value).is_absolute():
            return PurePosixPath(value).name
        if PureWindowsPath(value).is_absolute():
            return PureWindowsPath(value).name
    return value


def _leaves(tree: Mapping[str, Any], separator: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, separator, f"{prefix}{key}{separator}")
        else:
            yield f"{prefix}{key}", value


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _as_yaml(params: Mapping[str, Any]) -> str:
    from ruamel.yaml import YAML

    text = io.StringIO()
    YAML().dump(params, text)
    return text.getvalue()


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _warn(error: Exception) -> None:
    reason = (str(error).splitlines() or [""])[0][:200]
    print(f"warning: MLflow: {type(error).__name__}: {reason}; going on without tracking", file=sys.stderr)
