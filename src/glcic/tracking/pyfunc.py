"""Model that MLflow stores and serves. MLflow keeps this file with the weights and runs it.

Inputs are two arrays of whole numbers: `image`, (N, 3, H, W), 0 to 255, and `mask`, (N, 1, H, W), 0 outside the hole
and 1 or 255 in it. Their type in the signature is float64: for a type of whole numbers, MLflow would cut 0.5 to 0
before the model can refuse it. The output is the completed images, (N, 3, H, W), uint8, as
`glcic.inference.completer.Completer` returns them.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.exceptions import MlflowException
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
            model_input: `image` (N, 3, H, W), 0 to 255, and `mask` (N, 1, H, W), 1 or 255 in the hole.
            params: `allow_large`: whether a hole may cover more than 60 % of its image.

        Returns:
            The completed images, (N, 3, H, W), uint8.

        Raises:
            MlflowException: values or shapes have no meaning here, or a hole is refused; a server answers with 400.
        """
        import numpy as np

        from glcic.errors import UserError

        allow_large = bool((params or {}).get("allow_large"))
        try:
            image, mask = _levels(np.asarray(model_input["image"])), np.asarray(model_input["mask"])
            return self._completer(image, mask, allow_large=allow_large)
        except (UserError, TypeError, ValueError) as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None


def _levels(values: "NDArray[Any]") -> "NDArray[np.uint8]":
    """Images as bytes.

    Raises:
        ValueError: they are not whole numbers from 0 to 255, or an image has none above 1.
    """
    import numpy as np

    fit = (values >= 0) & (values <= 255) & (values == np.floor(values))
    if len(values) and not all(image.max(initial=0) > 1 for image in values):
        raise ValueError("an image has no value above 1; send values from 0 to 255, not from 0 to 1")
    if not fit.all():
        raise ValueError(f"images have the value {values[~fit][0]}; send whole numbers from 0 to 255")
    return values.astype(np.uint8)


mlflow.models.set_model(GeneratorModel())
