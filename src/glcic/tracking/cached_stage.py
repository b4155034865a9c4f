"""Stages that DVC took from its cache: copy what only training recorded from the run that trained them."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from glcic.tracking.metrics import log_points, recorded_images, recorded_points
from glcic.tracking.store import set_tags
from glcic.tracking.tags import CACHED, CODE, MODELS, RATE, SECONDS

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


def copy_stage(client: "MlflowClient", run: "Run", stage: str, models: str) -> None:
    """Copy a stage's speed, sample grids and environment from the run that trained it, and name that run in a tag.

    Args:
        run: the run that lacks them.
        stage: name of the stage.
        models: digest of the weights that the stage produced.
    """
    same = f"tags.`{MODELS}{stage}` = '{models}'"
    found = client.search_runs([run.info.experiment_id], same, order_by=["start_time ASC"])
    source = next((other for other in found if f"{stage}/{RATE}" in other.data.metrics), None)
    set_tags(client, run, {CACHED + stage: str(source.info.run_name) if source else "unknown"})
    if source is None:
        return
    if code := source.data.tags.get(CODE + stage):
        set_tags(client, run, {CODE + stage: code})
    present = recorded_points(client, run, stage)
    for name in (RATE, SECONDS):
        history = client.get_metric_history(source.info.run_id, f"{stage}/{name}")
        new = [(point.key, point.step, point.value) for point in history if (point.key, point.step) not in present]
        log_points(client, run.info.run_id, new)
    images = recorded_images(client, source, stage).keys() - recorded_images(client, run, stage).keys()
    artifacts = [*sorted(images), f"environment/{stage}.json"]
    there = {
        file.path for place in ("images", "environment") for file in client.list_artifacts(source.info.run_id, place)
    }
    with tempfile.TemporaryDirectory() as folder:
        for artifact in artifacts:
            if artifact in there:
                copy = client.download_artifacts(source.info.run_id, artifact, folder)
                client.log_artifact(run.info.run_id, copy, Path(artifact).parent.as_posix())
