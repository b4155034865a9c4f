"""The data as an input of a row."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_PAGES = {"celeba": "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"}  # where who wants them gets them


def digest_of(summary: Mapping[str, Any]) -> str:
    """What a row calls its data by: the first half of their SHA-256, since MLflow takes 36 characters."""
    return summary["sha256"][:32]


def log_data(client: "MlflowClient", run: "Run", params: Mapping[str, Any], summary: Mapping[str, Any]) -> None:
    """Record the packed faces as a dataset: digest, source, shape and counts. Nothing if the row has it.

    Args:
        summary: what data/faces/summary.json says.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    digest = digest_of(summary)
    inputs = run.inputs.dataset_inputs if run.inputs else []
    if any(known.dataset.digest == digest for known in inputs):
        return
    source = params["download"]["source"]
    settings = {"source": source, "seed": params["seed"], **params["download"][source], "crop": params["crop"]}
    settings = {key: value for key, value in settings.items() if key not in ("mirrors", "partition")}  # may be private
    if source in _PAGES:
        settings["url"] = _PAGES[source]
    dataset = Dataset(
        name=f"{source}-{summary['size']}",
        digest=digest,
        source_type=source,
        source=json.dumps(settings),
        schema=_schema(summary["size"]),
        profile=json.dumps({**summary["images"], "refused": summary["refused"]}),
    )
    client.log_inputs(run.info.run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "train, val, test")])])


def _schema(size: int) -> str:
    import numpy as np
    from mlflow.types import Schema, TensorSpec

    faces = Schema([TensorSpec(np.dtype(np.uint8), (-1, 3, size, size), "faces")])
    return json.dumps({"mlflow_tensorspec": {"features": faces.to_json(), "targets": None}})
