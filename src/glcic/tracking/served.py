"""The model that MLflow stores and serves: a file of code that MLflow keeps with the weights and runs.

Inputs are two arrays, `image` (N, 3, H, W) and `mask` (N, 1, H, W), uint8 both, the mask 1 in the hole; the answer is
the completed images, (N, 3, H, W), uint8, the same that `glcic.inference.completer.Completer` gives.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.pyfunc import PythonModel, PythonModelContext

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Completion(PythonModel):
    """A completion network as MLflow calls it."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the weights that were stored with this file."""
        from glcic.inference.completer import Completer

        self._completer = Completer(Path(context.artifacts["weights"]))

    def predict(self, context: Any, model_input: "dict[str, Any]", params: Any = None) -> "NDArray[np.uint8]":
        """Complete images; see the module's docstring."""
        import numpy as np

        image, mask = (np.asarray(model_input[name], dtype=np.uint8) for name in ("image", "mask"))
        return self._completer(image, mask)


mlflow.models.set_model(Completion())
