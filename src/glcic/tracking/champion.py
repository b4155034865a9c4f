"""Choice of the best registered model, which gets the alias `champion`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glcic import paths
from glcic.data.packed import PackedImages
from glcic.errors import UserError
from glcic.params import load
from glcic.tracking.dataset import digest_of
from glcic.tracking.model import REGISTERED
from glcic.tracking.store import connect, exists, locked

ALIAS = "champion"


@dataclass(frozen=True)
class Candidate:
    """A version of the registered model.

    Attributes:
        version: its number in the registry.
        run: name of its run.
        psnr: mean PSNR over the mask sets on the validation split, in dB.
    """

    version: str
    run: str
    psnr: float


def choose_champion(root: Path, params: Mapping[str, Any], summary: Mapping[str, Any]) -> list[Candidate]:
    """Give the alias `champion` to the version with the best validation PSNR.

    Candidates are the versions that were trained and validated on the current data and have scores on all current
    mask sets: PSNR values on other images, or at another size, are not comparable. If `evaluate.mask_seed` differs,
    differences of a few hundredths of a decibel mean nothing.

    Args:
        root: folder of the store, unless MLFLOW_TRACKING_URI names a server.
        params: the whole parameter file.
        summary: contents of data/images/summary.json.

    Returns:
        All candidates, best first.

    Raises:
        UserError: tracking is off, or there is no candidate.
    """
    if not params["tracking"]["enabled"]:
        raise UserError("tracking.enabled is false: there are no models in MLflow; set it to true and run `make repro`")
    if not exists(root):
        raise UserError(f"{root / 'mlflow.db'}: no such file; run `make repro` first to record a model")
    try:
        candidates = _candidates(root, params, summary)
    except (
        OSError,
        RuntimeError,
    ) as error:  # base classes of requests' and filelock's errors; MLflow's are converted below
        raise UserError(
            f"MLflow: {' '.join(str(error).split())[:200]}; start the server, or check its address"
        ) from None
    if not candidates:
        raise UserError(
            f"MLflow has no version of {REGISTERED} that was validated on the current data (data/images); run "
            "`make repro`, or `glcic sync` if the pipeline has already run"
        )
    return candidates


def _candidates(root: Path, params: Mapping[str, Any], summary: Mapping[str, Any]) -> list[Candidate]:
    with locked(root):
        client = connect(root)
    from mlflow.exceptions import MlflowException

    wanted = [f"val/{mask_set}/psnr" for mask_set in params["evaluate"]["mask_sets"]]
    candidates = []
    try:
        for version in client.search_model_versions(f"name = '{REGISTERED}'"):
            scores = [float(version.tags[name]) for name in wanted if name in version.tags]
            if len(scores) != len(wanted) or version.tags.get("data") != digest_of(summary):
                continue
            run = client.get_run(str(version.run_id)).info
            if run.lifecycle_stage == "active":  # deleting a run discards its model
                psnr = sum(scores) / len(scores)
                candidates.append(Candidate(str(version.version), str(run.run_name), psnr))
        candidates.sort(key=lambda candidate: (-candidate.psnr, int(candidate.version)))
        if candidates:
            client.set_registered_model_alias(REGISTERED, ALIAS, candidates[0].version)
    except MlflowException as error:
        raise RuntimeError(error.message) from None
    return candidates


def print_champion() -> None:
    """Choose the champion for the current data and mask sets, and print all candidates."""
    configuration = load(paths.PARAMS).model_dump(mode="json")
    candidates = choose_champion(paths.ROOT, configuration, PackedImages(paths.IMAGES, "val").summary)
    print("version  val PSNR dB  run")
    for number, candidate in enumerate(candidates):
        mark = "  ← champion" if number == 0 else ""
        print(f"{candidate.version:>7}  {candidate.psnr:>11.3f}  {candidate.run}{mark}")
