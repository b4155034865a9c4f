"""The best registered model gets an alias."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glcic import paths
from glcic.data.faces import Faces
from glcic.errors import UserError
from glcic.params import load
from glcic.tracking.data import digest_of
from glcic.tracking.model import REGISTERED
from glcic.tracking.store import connect, exists, locked

ALIAS = "champion"


@dataclass(frozen=True)
class Candidate:
    """A version of the registered model.

    Attributes:
        psnr: on the validation split, mean over the mask sets, in dB.
    """

    version: str
    row: str
    psnr: float


def choose_champion(root: Path, params: Mapping[str, Any], summary: Mapping[str, Any]) -> list[Candidate]:
    """Give the alias `champion` to the version with the best validation PSNR; all candidates, the best first.

    Only those that were trained and validated on the present data are compared: on other faces, or at another size,
    a decibel means something else; and only those with scores on all of the present mask sets. Where another
    `evaluate.mask_seed` drew the random holes, a few hundredths of a decibel mean nothing.

    Args:
        root: folder of the store, unless MLFLOW_TRACKING_URI names a server.
        params: the whole parameter file.
        summary: what data/faces/summary.json says.

    Raises:
        UserError: tracking is off, or there is no candidate.
    """
    if not params["tracking"]["enabled"]:
        raise UserError("tracking.enabled is false: there are no models in MLflow; set it to true and run `make repro`")
    if not exists(root):
        raise UserError(f"{root / 'mlflow.db'}: no such file; run `make repro` first, which records its model")
    try:
        candidates = _candidates(root, params, summary)
    except (OSError, RuntimeError) as error:  # which MLflow's, requests' and filelock's are, or become below
        raise UserError(
            f"MLflow: {' '.join(str(error).split())[:200]}; start the server, or look at its address"
        ) from None
    if not candidates:
        raise UserError(
            f"MLflow has no version of {REGISTERED} that was validated on the present data (data/faces); run "
            "`make repro`, or `glcic sync` if it has run"
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
            row = client.get_run(str(version.run_id)).info
            if row.lifecycle_stage == "active":  # who deletes a row does not want its model
                psnr = sum(scores) / len(scores)
                candidates.append(Candidate(str(version.version), str(row.run_name), psnr))
        candidates.sort(key=lambda candidate: (-candidate.psnr, int(candidate.version)))
        if candidates:
            client.set_registered_model_alias(REGISTERED, ALIAS, candidates[0].version)
    except MlflowException as error:
        raise RuntimeError(error.message) from None
    return candidates


def print_champion() -> None:
    """Choose among the models of the present data and mask sets, and print the candidates."""
    configuration = load(paths.PARAMS).model_dump(mode="json")
    candidates = choose_champion(paths.ROOT, configuration, Faces(paths.FACES, "val").summary)
    print("version  val PSNR dB  row")
    for number, candidate in enumerate(candidates):
        mark = "  ← champion" if number == 0 else ""
        print(f"{candidate.version:>7}  {candidate.psnr:>11.3f}  {candidate.row}{mark}")
