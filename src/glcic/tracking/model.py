"""The trained generator as a logged and registered model."""

import io
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glcic.files import sha256_of
from glcic.tracking.store import address, set_tags
from glcic.tracking.tags import WEIGHTS

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.models import ModelSignature
    from mlflow.models.model import Model, ModelInfo

REGISTERED = "glcic-generator"
# Of MLflow's own tags: it would put down who runs what in which folder, cloned from where.
_NOBODY = {"mlflow.user": "unknown", "mlflow.source.name": "pipeline.evaluate", "mlflow.source.git.repoURL": "unknown"}
_NEEDED = ("numpy", "pydantic", "ruamel.yaml", "safetensors", "torch")  # what serving needs beside MLflow


def log_model(
    root: Path,
    client: "MlflowClient",
    run: "Run",
    weights: Path,
    metrics: Mapping[str, float],
    about: Mapping[str, str],
) -> None:
    """Log the generator with a run and register it, unless the run has these very weights.

    Args:
        weights: a safetensors file of a generator.
        metrics: become the version's tags, like `about`; brought up to date if the version is there already.
    """
    digest = sha256_of(weights)
    tags = {**{key: f"{value:.6g}" for key, value in metrics.items()}, **about, WEIGHTS: digest}
    for old in client.search_model_versions(f"run_id = '{run.info.run_id}'"):
        if old.tags.get(WEIGHTS) == digest:
            for key, value in tags.items():
                if old.tags.get(key) != value:
                    client.set_model_version_tag(REGISTERED, old.version, key, value)
            return
    _log(root, client, run, weights, tags)
    set_tags(client, run, {WEIGHTS: digest})


def _log(root: Path, client: "MlflowClient", run: "Run", weights: Path, tags: Mapping[str, str]) -> None:
    import mlflow
    from mlflow.models.model import Model

    import glcic

    with _alone(address(root)):
        mlflow.set_experiment(experiment_id=run.info.experiment_id)  # decides where the model's files go
        info = Model.log(
            artifact_path=None,
            name="generator",
            flavor=_Flavor,
            run_id=run.info.run_id,
            python_model=os.path.relpath(Path(__file__).with_name("pyfunc.py")),
            artifacts={"weights": os.path.relpath(weights)},
            code_paths=[str(Path(glcic.__file__).parent)],  # so that a server needs nothing of this project
            signature=signature(),
            input_example=_example(),
            pip_requirements=[f"{name}=={version(name)}" for name in ("mlflow", *_NEEDED)],
            tags=_NOBODY,
        )
    _register(client, run, info, tags)


class _Flavor:
    """MLflow's Python function, without the folders that its files came from."""

    @staticmethod
    def save_model(path: str, mlflow_model: "Model", **arguments: Any) -> None:
        import mlflow

        mlflow.pyfunc.save_model(path=path, mlflow_model=mlflow_model, **arguments)
        saved = mlflow_model.flavors["python_function"]
        saved["artifacts"]["weights"]["uri"] = Path(saved["artifacts"]["weights"]["path"]).name
        saved["model_code_path"] = Path(saved["model_code_path"]).name
        mlflow_model.save(str(Path(path) / "MLmodel"))


def _register(client: "MlflowClient", run: "Run", info: "ModelInfo", tags: Mapping[str, str]) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(REGISTERED)
    except MlflowException as error:  # another experiment may create it at the same time
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    client.create_model_version(
        REGISTERED, info.model_uri, run.info.run_id, tags=dict(tags), model_id=info.model_id, await_creation_for=0
    )


def signature() -> "ModelSignature":
    """Any number of images of any size. Why inputs are float64, pyfunc.py says."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

    byte, number = np.dtype(np.uint8), np.dtype(np.float64)
    image, mask = TensorSpec(number, (-1, 3, -1, -1), "image"), TensorSpec(number, (-1, 1, -1, -1), "mask")
    return ModelSignature(
        Schema([image, mask]),
        Schema([TensorSpec(byte, (-1, 3, -1, -1))]),
        ParamSchema([ParamSpec("allow_large", "boolean", default=False)]),
    )


def _example() -> dict[str, Any]:
    """Two small gray images with a hole."""
    import numpy as np

    mask = np.zeros((2, 1, 32, 32))
    mask[:, :, 8:24, 8:24] = 1
    return {"image": np.full((2, 3, 32, 32), 128.0), "mask": mask}


@contextmanager
def _alone(uri: str) -> Iterator[None]:
    """MLflow logs models only to its global store; and it recommends type hints that its own tensors cannot have."""
    import mlflow

    named = os.environ.pop("MLFLOW_TRACKING_URI", None)
    logger = logging.getLogger("mlflow")
    level = logger.level
    try:
        mlflow.set_tracking_uri(uri)
        logger.setLevel(logging.ERROR)
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
        os.environ.pop("MLFLOW_TRACKING_URI", None)  # which set_tracking_uri has set, for MLflow's subprocesses
        if named is not None:
            os.environ["MLFLOW_TRACKING_URI"] = named
