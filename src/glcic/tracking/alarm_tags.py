"""Alarms of the training stages as tags of an MLflow run."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from glcic.report.alarms import alarms
from glcic.tracking.tags import ALARM

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


def alarms_of(params: Mapping[str, Any], stage: str, curve: Iterable[Mapping[str, float]]) -> dict[str, str]:
    """Alarms that a stage's curve raises, name → message.

    Args:
        params: the whole parameter file.
        stage: name of the stage.
        curve: points of its curve, oldest first.
    """
    section = params["gan"]
    return alarms(curve, section["loss"], section["real_label"], stage)


def tag_alarms(client: "MlflowClient", run: "Run", stage: str, raised: Mapping[str, str]) -> None:
    """Set the run's alarm tags of a stage to exactly these alarms, name → message."""
    prefix = ALARM if stage == "train_joint" else f"{ALARM}{stage}."
    wanted = {prefix + name: message for name, message in raised.items()}
    present = client.get_run(run.info.run_id).data.tags
    for key in present.keys() - wanted.keys():
        if key.startswith(prefix) and "." not in key.removeprefix(prefix):
            client.delete_tag(run.info.run_id, key)
    for key, message in wanted.items():
        if present.get(key) != message:
            client.set_tag(run.info.run_id, key, message)
