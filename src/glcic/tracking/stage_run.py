"""MLflow run of a training stage while it trains."""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glcic.tracking.alarm_tags import tag_alarms
from glcic.tracking.cached_stage import copy_stage
from glcic.tracking.dataset import log_data
from glcic.tracking.metrics import log_points, points, recorded_images, recorded_points
from glcic.tracking.parameters import runtime_tags
from glcic.tracking.store import address, attach, connect, exists, locked, runs_of, set_tags, warn
from glcic.tracking.tags import CODE, CONTINUED, FINISHED, MODELS, RATE, SECONDS, digest_of_models
from glcic.training.code import described

if TYPE_CHECKING:
    import numpy as np
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from numpy.typing import NDArray


def open_run(
    root: Path,
    params: Mapping[str, Any],
    *,
    stage: str,
    step: int,
    curve: Sequence[Mapping[str, float]] = (),
    environment: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
) -> "StageRun | None":
    """Find or create the MLflow run of a training stage.

    A stage that starts from scratch opens a new run if the newest one has already begun or finished this stage
    (`dvc repro --force`, edited code), and one that resumes takes the newest run that has its curve, so that a run
    never mixes two curves.

    Args:
        root: folder of the store (`mlflow.db`, `mlartifacts/`), unless MLFLOW_TRACKING_URI names a server.
        params: the whole parameter file. A new run takes the DVC experiment's name (DVC_EXP_NAME), otherwise preset
            and short fingerprint.
        stage: the stage that is about to train.
        step: the step it starts at, 0 unless it resumes.
        curve: points in its checkpoint, each with a `step`; those that the run lacks are uploaded.
        environment: result of `glcic.tracking.environment.describe`.
        data: contents of data/images/summary.json.

    Returns:
        The run, or None if tracking is off or has failed.
    """
    if not params["tracking"]["enabled"]:
        return None
    try:

        def choose(runs: "Sequence[Run]") -> "Run | None":
            if step > 0:
                return next((run for run in runs if _agrees(connect(root), run, stage, curve)), None)
            if not runs:
                return None
            finished = FINISHED + stage in runs[0].data.tags
            begun = any(metric.startswith(f"{stage}/") for metric in runs[0].data.metrics)
            return runs[0] if not (finished or (begun and not curve)) else None

        client, run = attach(root, params, choose)
        set_tags(client, run, runtime_tags(params))  # a resumed stage may run on another machine
        if environment is not None:
            _log_environment(client, run, stage, environment)
        if data is not None:
            log_data(client, run, params, data)
        client.update_run(run.info.run_id, status="RUNNING")
        stage_run = StageRun(stage, client, run, address(root), step)
    except Exception as error:  # see the package's docstring
        warn(error)
        return None
    stage_run.log_curve(curve)
    return stage_run


def _agrees(client: "MlflowClient", run: "Run", stage: str, curve: Iterable[Mapping[str, float]]) -> bool:
    """Whether a run's points of a stage, as far as the curve has them, are those of the curve."""
    known = {(key, step): value for key, step, value in points(stage, curve)}
    return all(
        known.get((key, point.step), point.value) == point.value
        for key in run.data.metrics.keys() & {key for key, _ in known}
        for point in client.get_metric_history(run.info.run_id, key)
    )


def recorded(root: Path, params: Mapping[str, Any], metrics: Iterable[str]) -> dict[str, float]:
    """Last values of metrics in the newest run of these parameters. Creates nothing.

    Args:
        root: folder of the store, as in `open_run`.
        params: the whole parameter file.
        metrics: full names, `<stage>/<name>`.

    Returns:
        The metrics that the run has; empty if there is no run, or tracking is off or has failed.
    """
    if not params["tracking"]["enabled"] or not exists(root):
        return {}
    try:
        with locked(root):
            found = runs_of(connect(root), params)
        known = found[0].data.metrics if found else {}
        return {name: known[name] for name in metrics if name in known}
    except Exception as error:  # see the package's docstring
        warn(error)
        return {}


@dataclass
class StageRun:
    """One stage's part of an MLflow run, from step `start`. After a failure, its methods do nothing."""

    stage: str
    client: "MlflowClient"
    run: "Run"
    uri: str
    start: int
    failed: bool = False
    opened: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._id = self.run.info.run_id
        self._points = recorded_points(self.client, self.run, self.stage)
        self._images = set(recorded_images(self.client, self.run, self.stage).values())
        self._spent = self.run.data.metrics.get(f"{self.stage}/{SECONDS}", 0.0)  # before an interruption
        self._resumed = self.start > 0 and not self._has_rate()  # another run, or none, has the earlier speed
        self._load = self._watch_machine()

    def log_point(self, step: int, values: Mapping[str, float]) -> None:
        """Record one point of each of the stage's curves, skipping values that are not finite."""
        seconds = self._spent + time.monotonic() - self.opened
        self.log_curve([{"step": step, **values, SECONDS: seconds}])

    def log_curve(self, curve: Iterable[Mapping[str, float]]) -> None:
        """Record the points of a curve that the run lacks."""
        # A killed stage repeats the steps after its last checkpoint; MLflow would store both points.
        new = [point for point in points(self.stage, curve) if point[:2] not in self._points]
        self._points.update(point[:2] for point in new)
        self._attempt(lambda: log_points(self.client, self._id, new))

    def log_image(self, step: int, image: "NDArray[np.uint8]") -> None:
        """Record a sample grid, (H, W, 3), 0 to 255, under the stage's time slider."""
        if step in self._images:
            return
        self._images.add(step)
        self._attempt(lambda: self.client.log_image(self._id, image, key=self.stage, step=step, synchronous=True))

    def tag_alarms(self, alarms: Mapping[str, str]) -> None:
        """Set the run's alarm tags of this stage to exactly these alarms, name → message."""
        self._attempt(lambda: tag_alarms(self.client, self.run, self.stage, alarms))

    def finish(self, models: Path) -> None:
        """Mark the stage's part of the run as finished.

        Args:
            models: folder of the stage's weights.
        """
        # The status tells whether a stage is running; between two stages none is.
        self._end_watch()
        digest = digest_of_models(models)
        if self._resumed and self._has_rate():  # a longer training: speed and samples cover the added steps only
            self._attempt(lambda: self.client.set_tag(self._id, CONTINUED + self.stage, str(self.start)))
        elif self._resumed:  # two experiments share the stage, and the other one trained it
            self._attempt(lambda: copy_stage(self.client, self.run, self.stage, digest))
        self._attempt(lambda: self.client.set_tag(self._id, MODELS + self.stage, digest))
        self._attempt(lambda: self.client.set_tag(self._id, FINISHED + self.stage, "true"))
        self._attempt(lambda: self.client.set_terminated(self._id, "FINISHED"))

    def interrupt(self) -> None:
        """Mark the run as killed, so that it no longer appears to be running."""
        self._end_watch()
        self._attempt(lambda: self.client.set_terminated(self._id, "KILLED"))

    def _watch_machine(self) -> Any:
        """Start MLflow's thread that records system metrics under system/ every ten seconds."""
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        load = SystemMetricsMonitor(self._id, resume_logging=True, tracking_uri=self.uri)
        load.start()
        return load

    def _end_watch(self) -> None:
        with suppress(Exception):  # even after a failure that has been reported
            self._load.finish()

    def _has_rate(self) -> bool:
        return any(name == f"{self.stage}/{RATE}" for name, _ in self._points)

    def _attempt(self, action: Callable[[], object]) -> None:
        if self.failed:
            return
        try:
            action()
        except Exception as error:  # see the package's docstring
            self.failed = True
            warn(error)


def _log_environment(client: "MlflowClient", run: "Run", stage: str, environment: Mapping[str, Any]) -> None:
    text = json.dumps(environment, indent=2)
    client.log_text(run.info.run_id, text + "\n", f"environment/{stage}.json")
    tags = {"device": environment["device"]}
    if git := environment["git"]:
        # The first tag is MLflow's own; its page shows it as the version.
        tags |= {"mlflow.source.git.commit": git["commit"], "git.commit": git["commit"], "git.dirty": git["dirty"]}
    if len(versions := environment.get("code", [])) > 1:
        tags[CODE + stage] = described(stage, versions)
    elif CODE + stage in run.data.tags:
        client.delete_tag(run.info.run_id, CODE + stage)
    set_tags(client, run, {key: value if isinstance(value, str) else json.dumps(value) for key, value in tags.items()})
