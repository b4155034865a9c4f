"""MLflow tracking: one run per configuration of the pipeline.

A run holds every parameter, the curves of all training stages, the final metrics, sample grids, figures, data,
environment and model. It is found by a tag with the fingerprint of its parameters; no output stores a run id.

Only this package imports mlflow, and only when a run is needed: the import takes seconds, and nothing needs it
when tracking is off.

A tracking failure never stops training. The first failure prints one warning, and the rest of the stage goes
unrecorded until `complete_run` uploads what is missing from the pipeline's outputs.
"""

from glcic.tracking.champion import Candidate, choose_champion
from glcic.tracking.complete import Outputs, complete_run, is_complete
from glcic.tracking.moved import follow
from glcic.tracking.parameters import fingerprint
from glcic.tracking.stage_run import StageRun, open_run, recorded

__all__ = [
    "Candidate",
    "Outputs",
    "StageRun",
    "choose_champion",
    "complete_run",
    "fingerprint",
    "follow",
    "is_complete",
    "open_run",
    "recorded",
]
