"""The best registered model gets an alias."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glcic.errors import UserError
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
    preset: str
    psnr: float


def choose_champion(root: Path, params: Mapping[str, Any], summary: Mapping[str, Any]) -> list[Candidate]:
    """Give the alias `champion` to the version with the best validation PSNR; all candidates, the best first.

    Only those that were trained and validated on the present data are compared: on other faces, or at another size,
    a decibel means something else; and only those with scores on all of the present mask sets.

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
    with locked(root):
        client = connect(root)
    wanted = [f"val/{mask_set}/psnr" for mask_set in params["evaluate"]["mask_sets"]]
    candidates = []
    for version in client.search_model_versions(f"name = '{REGISTERED}'"):
        scores = [float(version.tags[name]) for name in wanted if name in version.tags]
        if len(scores) == len(wanted) and version.tags.get("data") == digest_of(summary):
            row = version.run_id and client.get_run(version.run_id).info.run_name
            psnr = sum(scores) / len(scores)
            candidates.append(Candidate(str(version.version), row or "", version.tags.get("preset", ""), psnr))
    if not candidates:
        raise UserError(
            f"MLflow has no version of {REGISTERED} that was validated on the present data (data/faces); run "
            "`make repro`, or `python -m pipeline.track` if it has run"
        )
    candidates.sort(key=lambda candidate: (-candidate.psnr, int(candidate.version)))
    client.set_registered_model_alias(REGISTERED, ALIAS, candidates[0].version)
    return candidates
