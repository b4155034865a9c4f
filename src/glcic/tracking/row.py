"""The row of a training stage while it trains."""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glcic.tracking.alarmed import tag_alarms
from glcic.tracking.cached import copy_stage
from glcic.tracking.data import log_data
from glcic.tracking.names import CONTINUED, FINISHED, MODELS, RATE, SECONDS, digest_of_models
from glcic.tracking.parameters import runtime_tags
from glcic.tracking.points import log_points, points, recorded_images, recorded_points
from glcic.tracking.store import address, attach, connect, exists, locked, rows, set_tags, warn

if TYPE_CHECKING:
    import numpy as np
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from numpy.typing import NDArray


def open_row(
    root: Path,
    params: Mapping[str, Any],
    *,
    stage: str,
    step: int,
    curve: Sequence[Mapping[str, float]] = (),
    environment: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
) -> "Row | None":
    """Find or create the row in which a training stage records itself; None: tracking is off, or has failed.

    A stage that starts from nothing but finds its part of the newest row already begun or finished opens a
    new row (`dvc repro --force`, edited code): two different curves must not mix in one.

    Args:
        root: folder of the store (`mlflow.db`, `mlartifacts/`), unless MLFLOW_TRACKING_URI names a server.
        params: the whole parameter file. A new row is called as DVC calls the experiment (DVC_EXP_NAME), else by
            preset and short fingerprint.
        stage: the stage that is about to train.
        step: the step it starts at, 0 unless it resumes.
        curve: the points in its checkpoint, each with a `step`; those that the row lacks are uploaded.
        environment: what `glcic.tracking.environment.describe` says.
        data: what data/faces/summary.json says.
    """
    if not params["tracking"]["enabled"]:
        return None
    try:

        def choose(rows: "Sequence[Run]") -> "Run | None":
            if not rows:
                return None
            finished = FINISHED + stage in rows[0].data.tags
            begun = any(metric.startswith(f"{stage}/") for metric in rows[0].data.metrics)
            return rows[0] if step > 0 or not (finished or (begun and not curve)) else None

        client, run = attach(root, params, choose)
        set_tags(client, run, runtime_tags(params))  # perhaps resumed on another machine
        if environment is not None:
            _log_environment(client, run, stage, environment)
        if data is not None:
            log_data(client, run, params, data)
        client.update_run(run.info.run_id, status="RUNNING")
        row = Row(stage, client, run, address(root), step)
    except Exception as error:  # see the package's docstring
        warn(error)
        return None
    row.log_curve(curve)
    return row


def recorded(root: Path, params: Mapping[str, Any], metrics: Iterable[str]) -> dict[str, float]:
    """The last values of metrics in the newest row of these parameters; nothing is created.

    Args:
        root: as in `open_row`, like `params`.
        metrics: their full names, `<stage>/<name>`.

    Returns:
        Those that the row has; none when there is no row, or tracking is off or has failed.
    """
    if not params["tracking"]["enabled"] or not exists(root):
        return {}
    try:
        with locked(root):
            found = rows(connect(root), params)
        known = found[0].data.metrics if found else {}
        return {name: known[name] for name in metrics if name in known}
    except Exception as error:  # see the package's docstring
        warn(error)
        return {}


@dataclass
class Row:
    """A row in MLflow, as far as one stage writes it, from step `start`; after a failure it does nothing."""

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
        self._resumed = self.start > 0 and not self._has_rate()  # with points that another row, or none, has of it
        self._load = self._watch_machine()

    def log_point(self, step: int, values: Mapping[str, float]) -> None:
        """Record one point of each of the stage's curves; what is not finite is left out."""
        seconds = self._spent + time.monotonic() - self.opened
        self.log_curve([{"step": step, **values, SECONDS: seconds}])

    def log_curve(self, curve: Iterable[Mapping[str, float]]) -> None:
        """Record those points of a curve that the row lacks."""
        # Steps after the last checkpoint come again when a killed stage resumes; MLflow would keep both.
        new = [point for point in points(self.stage, curve) if point[:2] not in self._points]
        self._points.update(point[:2] for point in new)
        self._attempt(lambda: log_points(self.client, self._id, new))

    def log_image(self, step: int, image: "NDArray[np.uint8]") -> None:
        """Record a sample grid, (H, W, 3), under the stage's time slider."""
        if step in self._images:
            return
        self._images.add(step)
        self._attempt(lambda: self.client.log_image(self._id, image, key=self.stage, step=step, synchronous=True))

    def tag_alarms(self, alarms: Mapping[str, str]) -> None:
        """Let the row have the tags of these alarms, name → message, and no others."""
        self._attempt(lambda: tag_alarms(self.client, self.run, alarms))

    def finish(self, models: Path) -> None:
        """Mark the stage's part of the row as finished; `models` is the folder of the weights it ended in."""
        # The row's status says whether somebody works on it; between two stages nobody does.
        self._end_watch()
        digest = digest_of_models(models)
        if self._resumed and self._has_rate():  # a longer training: speed and samples are of what was added
            self._attempt(lambda: self.client.set_tag(self._id, CONTINUED + self.stage, str(self.start)))
        elif self._resumed:  # two experiments share the stage: the other one has trained it
            self._attempt(lambda: copy_stage(self.client, self.run, self.stage, digest))
        self._attempt(lambda: self.client.set_tag(self._id, MODELS + self.stage, digest))
        self._attempt(lambda: self.client.set_tag(self._id, FINISHED + self.stage, "true"))
        self._attempt(lambda: self.client.set_terminated(self._id, "FINISHED"))

    def interrupt(self) -> None:
        """Mark the row as killed, so that it does not look as if it were still running."""
        self._end_watch()
        self._attempt(lambda: self.client.set_terminated(self._id, "KILLED"))

    def _watch_machine(self) -> Any:
        """Start MLflow's thread that records the machine's load under system/ every ten seconds."""
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        load = SystemMetricsMonitor(self._id, resume_logging=True, tracking_uri=self.uri)
        load.start()
        return load

    def _end_watch(self) -> None:
        with suppress(Exception):  # even if all else has failed, and been told
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
        # The first of these is MLflow's own, which its page shows as the version.
        tags |= {"mlflow.source.git.commit": git["commit"], "git.commit": git["commit"], "git.dirty": git["dirty"]}
    set_tags(client, run, {key: value if isinstance(value, str) else json.dumps(value) for key, value in tags.items()})
