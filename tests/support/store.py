"""MLflow store with runs that were never trained."""

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
    "runtime": {"num_threads": 2, "celeba_dir": "/hidden-attic/faces", "image_folder": "/hidden-attic/images"},
    "tracking": {"enabled": True, "experiment": "glcic"},
    "download": {
        "source": "celeba",
        "celeba": {"zip_md5": None, "mirrors": ["file:///hidden-attic/mirror"]},
        "mirrors": ["file:///hidden-attic/mirror/faces.zip", "https://example.org/faces.zip"],
        "image_folder": {"split_file": "~/hidden-attic/split.txt"},
    },
    "crop": {"image_size": 16},
    "evaluate": {"mask_sets": ["center"]},
    "gan": {"loss": "bce", "real_label": 1.0},
    "pretrain_generator": {"steps": 3},
    "train_joint": {"adv_weight": 0.0004, "betas": [0.5, 0.999]},
}
SUMMARY: dict[str, Any] = {
    "image_size": 16,
    "num_images": {"train": 3, "val": 2, "test": 1},
    "skipped": 0,
    "sha256": 8 * "01234567",
}


def finished(folder: Path, seed: int, psnr: float, data: str = SUMMARY["sha256"]) -> tracking.Outputs:
    """Write the outputs of a finished pipeline with this PSNR on the validation split."""
    outputs = tracking.Outputs(folder)
    files = (outputs.report.metrics, folder / paths.IMAGES_SUMMARY, folder / paths.GENERATOR)
    for file in files:
        file.parent.mkdir(parents=True)
    torch.manual_seed(seed)
    save_weights(files[2], generator(0.0625).state_dict(), ABOUT)
    files[0].write_text(f'{{"val": {{"psnr": {psnr}}}}}')
    outputs.report.validation.write_text(f"mask_set,method,psnr\ncenter,completion,{psnr}\n")
    files[1].write_text(str(SUMMARY | {"sha256": data}).replace("'", '"'))
    return outputs


def client_of(root: Path) -> Any:
    """A client for the store in `root`."""
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{root / 'mlflow.db'}")


def runs_of(root: Path, params: Mapping[str, Any]) -> list[Any]:
    """The MLflow runs of these parameters, newest first."""
    client = client_of(root)
    experiment = client.get_experiment_by_name("glcic").experiment_id
    mark = tracking.fingerprint(params)
    found = client.search_runs([experiment], order_by=["start_time DESC"])
    return [run for run in found if run.data.tags["glcic.fingerprint"] == mark]


def artifacts(root: Path, run: Any, folder: str | None = None) -> Iterator[str]:
    """Paths of all artifacts of a run, or of those in a folder."""
    for file in client_of(root).list_artifacts(run.info.run_id, folder):
        yield from artifacts(root, run, file.path) if file.is_dir else [file.path]
