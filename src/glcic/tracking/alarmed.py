"""Alarms in the row of a configuration: a tag each."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from glcic.report.alarms import alarms
from glcic.tracking.names import ALARM

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

JOINT = "train_joint"  # the stage whose curve raises alarms


def alarms_of(params: Mapping[str, Any], stage: str, curve: Iterable[Mapping[str, float]]) -> dict[str, str]:
    """The alarms that a stage's curve raises, name → message; none but the joint phase raises any.

    Args:
        params: the whole parameter file.
    """
    if stage != JOINT:
        return {}
    section = params["adversarial"]
    return alarms(curve, section["loss"], section["real_label"])


def tag_alarms(client: "MlflowClient", run: "Run", raised: Mapping[str, str]) -> None:
    """Let the row have the tags of these alarms and no others."""
    wanted = {ALARM + name: message for name, message in raised.items()}
    present = client.get_run(run.info.run_id).data.tags
    for key in present.keys() - wanted.keys():
        if key.startswith(ALARM):
            client.delete_tag(run.info.run_id, key)
    for key, message in wanted.items():
        if present.get(key) != message:
            client.set_tag(run.info.run_id, key, message)
