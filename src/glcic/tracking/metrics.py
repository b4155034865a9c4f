"""Points of curves and images over steps in a run."""

import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

MetricPoint = tuple[str, int, float]  # metric, step, value
_METRICS_PER_BATCH = 1000  # MLflow's limit


def points(stage: str, curve: Iterable[Mapping[str, Any]]) -> Iterator[MetricPoint]:
    """Yield the points of a curve, given as mappings or rows of its CSV file; empty cells are skipped."""
    for point in curve:
        step = int(point["step"])
        for name, value in point.items():
            if name != "step" and value != "":
                yield f"{stage}/{name}", step, float(value)


def log_points(client: "MlflowClient", run_id: str, new: Iterable[MetricPoint]) -> None:
    """Log the finite points. Do not log a point twice: MLflow would store both."""
    from mlflow.entities import Metric

    now = time.time_ns() // 1_000_000
    metrics = [Metric(key, value, now, step) for key, step, value in new if math.isfinite(value)]
    for start in range(0, len(metrics), _METRICS_PER_BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + _METRICS_PER_BATCH], synchronous=True)


def recorded_points(client: "MlflowClient", run: "Run", stage: str) -> set[tuple[str, int]]:
    """Points of a stage's curves that the run has, as (metric, step)."""
    return {
        (key, point.step)
        for key in run.data.metrics
        if key.startswith(f"{stage}/")
        for point in client.get_metric_history(run.info.run_id, key)
    }


def recorded_images(client: "MlflowClient", run: "Run", stage: str) -> dict[str, int]:
    """Images of a stage's time slider, artifact → step; MLflow stores the step in the file name."""
    pattern = re.compile(rf"images/{re.escape(stage)}\+step\+(\d+)\+")
    files = client.list_artifacts(run.info.run_id, "images")
    return {file.path: int(match[1]) for file in files if (match := pattern.match(file.path))}
