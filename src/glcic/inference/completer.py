"""A trained completion network as a function: image + mask → completed image."""

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError
from torch.nn.functional import pad

from glcic.errors import UserError
from glcic.masks.geometry import composite
from glcic.masks.preparation import Preparation
from glcic.networks.generators import completion_network
from glcic.networks.weights import load_weights
from glcic.params import Glcic, Input, UNetParams

COMPLETION: TypeAdapter[Glcic | UNetParams] = TypeAdapter(Annotated[Glcic | UNetParams, Field(discriminator="name")])


class Completer:
    """Completes images with the weights of one file, on the CPU, in 32 bits.

    Attributes:
        network: in eval mode.
        prepare: fill, context border and range that the network was trained with.
        size: side of the images it was trained on, in pixels.
        steps: updates the stage that wrote the weights gave it; 0: they are as random as at the start.
    """

    def __init__(self, weights: Path) -> None:
        """Load weights.

        Raises:
            UserError: the file is missing or no weights file of a completion network.
        """
        state, about = load_weights(weights)
        try:
            seen = Input.model_validate(about["input"])
            self.network = completion_network(COMPLETION.validate_python(about["completion"]), seen)
            self.network.load_state_dict(state)
            self.prepare = Preparation(seen, torch.tensor(about["mean_pixel"]))
            self.size: int = about["size"]
            self.steps: int = about["step"]
        except (KeyError, RuntimeError, ValidationError):
            raise UserError(f"{weights}: not the weights of a completion network; name another file") from None
        self.network.eval().to(memory_format=torch.channels_last)

    def __call__(self, images: NDArray[np.uint8], masks: NDArray[np.uint8], batch: int = 1) -> NDArray[np.uint8]:
        """Complete images, `batch` at a time.

        The last batch is padded to the same size: the shape of a batch may change the rounding, and a
        completion must not depend on how many others are made with it.

        Args:
            images: (N, 3, H, W), RGB; any H and W.
            masks: (N, 1, H, W), 1 in the hole.

        Returns:
            (N, 3, H, W), composites: outside the hole exactly the images.
        """
        completed = np.empty_like(images)
        for start in range(0, len(images), batch):
            part = slice(start, start + batch)
            n = len(images[part])
            image = torch.zeros((batch, *images.shape[1:]))
            mask = torch.zeros((batch, *masks.shape[1:]))
            image[:n] = torch.from_numpy(images[part]).float() / 255
            mask[:n] = torch.from_numpy(masks[part]).float()
            completed[part] = self._complete(image, mask)[:n].numpy()
        return completed

    def _complete(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        height, width = image.shape[2:]
        stride = self.network.stride
        margin = (0, -width % stride, 0, -height % stride)
        holed = self.prepare.holed(image, mask)
        filled = pad(holed.filled, margin, mode="replicate").contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            output = self.network(filled, pad(holed.dilated, margin))[..., :height, :width]
        return (composite(self.prepare.to_unit(output), image, mask) * 255).round().clamp(0, 255).byte()
