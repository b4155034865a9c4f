"""Model that MLflow stores and serves. MLflow keeps this file with the weights and runs it.

Inputs are two uint8 arrays: `image`, (N, 3, H, W), 0 to 255, and `mask`, (N, 1, H, W), 1 in the hole and 0 elsewhere.
The output is the completed images, (N, 3, H, W), uint8, as `glcic.inference.completer.Completer` returns them.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.pyfunc import PythonModel, PythonModelContext

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class GeneratorModel(PythonModel):
    """Generator with the interface of an MLflow model."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the weights that were stored with this file."""
        from glcic.inference.completer import Completer

        self._completer = Completer(Path(context.artifacts["weights"]))

    def predict(self, context: Any, model_input: "dict[str, Any]", params: Any = None) -> "NDArray[np.uint8]":
        """Complete images.

        Args:
            model_input: `image` (N, 3, H, W), 0 to 255, and `mask` (N, 1, H, W), 1 in the hole; uint8.

        Returns:
            The completed images, (N, 3, H, W), uint8.
        """
        import numpy as np

        image, mask = (np.asarray(model_input[name], dtype=np.uint8) for name in ("image", "mask"))
        return self._completer(image, mask)


mlflow.models.set_model(GeneratorModel())
