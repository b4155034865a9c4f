"""Data as the dataset input of a run."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_PAGES = {"celeba": "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"}  # where to get the data


def digest_of(summary: Mapping[str, Any]) -> str:
    """Digest of the data in a run: the first half of their SHA-256, since MLflow allows 36 characters."""
    return summary["sha256"][:32]


def log_data(client: "MlflowClient", run: "Run", params: Mapping[str, Any], summary: Mapping[str, Any]) -> None:
    """Record the packed images as a dataset (digest, source, shape and counts), unless the run has it already.

    Args:
        summary: contents of data/images/summary.json.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    digest = digest_of(summary)
    inputs = run.inputs.dataset_inputs if run.inputs else []
    if any(known.dataset.digest == digest for known in inputs):
        return
    source = params["download"]["source"]
    settings = {"source": source, "seed": params["seed"], **params["download"][source], "crop": params["crop"]}
    settings = {key: value for key, value in settings.items() if key not in ("mirrors", "split_file")}  # may be private
    if source in _PAGES:
        settings["url"] = _PAGES[source]
    dataset = Dataset(
        name=f"{source}-{summary['image_size']}",
        digest=digest,
        source_type=source,
        source=json.dumps(settings),
        schema=_schema(summary["image_size"]),
        profile=json.dumps({**summary["num_images"], "skipped": summary["skipped"]}),
    )
    client.log_inputs(run.info.run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "train, val, test")])])


def _schema(image_size: int) -> str:
    import numpy as np
    from mlflow.types import Schema, TensorSpec

    images = Schema([TensorSpec(np.dtype(np.uint8), (-1, 3, image_size, image_size), "images")])
    return json.dumps({"mlflow_tensorspec": {"features": images.to_json(), "targets": None}})
