"""A trained completion network as a function: image + mask → completed image."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import pad

from glcic.errors import UserError
from glcic.masks import composite, fill_hole
from glcic.networks import CompletionNetwork
from glcic.params import STRIDE
from glcic.training.weights import load_weights


class Completer:
    """Completes images with the weights of one file, on the CPU, in 32 bits.

    Attributes:
        network: in eval mode.
        mean_pixel: (3,), in [0, 1]: the fill the network was trained with.
        size: side of the images it was trained on, in pixels.
    """

    def __init__(self, weights: Path) -> None:
        """Load weights.

        Raises:
            UserError: the file is missing or no weights file of a completion network.
        """
        state, about = load_weights(weights)
        try:
            self.network = CompletionNetwork(about["completion"]["width"])
            self.network.load_state_dict(state)
            mean_pixel: Sequence[float] = about["mean_pixel"]
            self.size: int = about["size"]
        except (KeyError, RuntimeError):
            raise UserError(f"{weights}: not the weights of a completion network; name another file") from None
        self.mean_pixel = torch.tensor(mean_pixel)
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
        margin = (0, -width % STRIDE, 0, -height % STRIDE)
        filled = pad(fill_hole(image, mask, self.mean_pixel), margin, mode="replicate")
        with torch.inference_mode():
            output = self.network(filled.contiguous(memory_format=torch.channels_last), pad(mask, margin))[
                ..., :height, :width
            ]
        return (composite(output, image, mask) * 255).round().byte()
