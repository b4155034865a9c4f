"""An MLflow store of rows that nobody trained for."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from glcic import paths, tracking
from glcic.networks.weights import save_weights
from support.networks import generator
from support.project import ABOUT

PARAMS: dict[str, Any] = {
    "preset": "small",
    "seed": 1,
    "runtime": {"threads": 2, "celeba": "/hidden-attic/faces", "images": "/hidden-attic/images"},
    "tracking": {"enabled": True, "experiment": "glcic"},
    "download": {
        "source": "celeba",
        "celeba": {"zip_md5": None, "mirrors": ["file:///hidden-attic/mirror"]},
        "mirrors": ["file:///hidden-attic/mirror/faces.zip", "https://example.org/faces.zip"],
    },
    "crop": {"size": 16},
    "evaluate": {"mask_sets": ["center"]},
    "adversarial": {"loss": "bce", "real_label": 1.0},
    "pretrain_generator": {"steps": 3},
    "train_joint": {"adversarial": {"weight": 0.0004}, "betas": [0.5, 0.999]},
}
SUMMARY: dict[str, Any] = {
    "size": 16,
    "images": {"train": 3, "val": 2, "test": 1},
    "refused": 0,
    "sha256": 8 * "01234567",
}


def finished(folder: Path, seed: int, psnr: float, data: str = SUMMARY["sha256"]) -> tracking.Outputs:
    """Outputs of a pipeline that ended with this PSNR on the validation split."""
    outputs = tracking.Outputs(folder)
    files = (outputs.report.metrics, folder / paths.FACES_SUMMARY, folder / paths.COMPLETION)
    for file in files:
        file.parent.mkdir(parents=True)
    torch.manual_seed(seed)
    save_weights(files[2], generator(0.0625).state_dict(), ABOUT)
    files[0].write_text(f'{{"val": {{"center": {{"psnr": {psnr}}}}}}}')
    files[1].write_text(str(SUMMARY | {"sha256": data}).replace("'", '"'))
    return outputs


def client_of(root: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{root / 'mlflow.db'}")


def rows(root: Path, params: Mapping[str, Any]) -> list[Any]:
    """The MLflow runs of these parameters, newest first."""
    client = client_of(root)
    experiment = client.get_experiment_by_name("glcic").experiment_id
    mark = tracking.fingerprint(params)
    found = client.search_runs([experiment], order_by=["start_time DESC"])
    return [run for run in found if run.data.tags["glcic.fingerprint"] == mark]


def artifacts(root: Path, run: Any, folder: str | None = None) -> Iterator[str]:
    for file in client_of(root).list_artifacts(run.info.run_id, folder):
        yield from artifacts(root, run, file.path) if file.is_dir else [file.path]
