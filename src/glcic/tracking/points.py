"""Points of curves and pictures over steps: what a row has of them, and what it lacks."""

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
    """A curve, given by its rows or those of a CSV file, as points; empty cells are none."""
    for row in curve:
        step = int(row["step"])
        for name, value in row.items():
            if name != "step" and value != "":
                yield f"{stage}/{name}", step, float(value)


def log_points(client: "MlflowClient", run_id: str, new: Iterable[MetricPoint]) -> None:
    """Log points, those that are finite; MLflow keeps a point twice that is logged twice."""
    from mlflow.entities import Metric

    now = time.time_ns() // 1_000_000
    metrics = [Metric(key, value, now, step) for key, step, value in new if math.isfinite(value)]
    for start in range(0, len(metrics), _METRICS_PER_BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + _METRICS_PER_BATCH], synchronous=True)


def recorded_points(client: "MlflowClient", run: "Run", stage: str) -> set[tuple[str, int]]:
    """Which points of a stage's curves the row has: (metric, step)."""
    return {
        (key, point.step)
        for key in run.data.metrics
        if key.startswith(f"{stage}/")
        for point in client.get_metric_history(run.info.run_id, key)
    }


def recorded_images(client: "MlflowClient", run: "Run", stage: str) -> dict[str, int]:
    """The files of a stage's time slider, artifact → step, read from the names that MLflow gives them."""
    pattern = re.compile(rf"images/{re.escape(stage)}\+step\+(\d+)\+")
    files = client.list_artifacts(run.info.run_id, "images")
    return {file.path: int(match[1]) for file in files if (match := pattern.match(file.path))}
