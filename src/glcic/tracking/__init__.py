"""MLflow: one configuration of the pipeline is one run, here called its *row*, complete by itself.

A row holds every parameter, the curves of all training stages, the final metrics, sample grids, figures, data,
environment and model. It is found by a tag that fingerprints the parameters, never by a run id inside an output.

This is the only package that imports mlflow, and only once a row is asked for: importing it takes seconds, and
with tracking off nobody needs it.

Training never dies of tracking: the first failure prints one warning and the rest of the stage goes
unrecorded, until `complete_row` uploads what is missing from the pipeline's outputs.
"""

from glcic.tracking.champion import Candidate, choose_champion
from glcic.tracking.complete import Outputs, complete_row, is_complete
from glcic.tracking.parameters import fingerprint
from glcic.tracking.row import Row, open_row, recorded

__all__ = [
    "Candidate",
    "Outputs",
    "Row",
    "choose_champion",
    "complete_row",
    "fingerprint",
    "is_complete",
    "open_row",
    "recorded",
]
