"""Image completion by a trained generator: image + mask → completed image."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError
from torch.backends import cudnn
from torch.nn.functional import pad

from glcic.errors import UserError
from glcic.masks.geometry import composite
from glcic.masks.preprocessing import Preprocessor
from glcic.masks.rules import checked_masks
from glcic.networks.generators import build_generator
from glcic.networks.weights import load_weights
from glcic.params import GlcicParams, Input, Share, UNetParams

GENERATOR: TypeAdapter[GlcicParams | UNetParams] = TypeAdapter(
    Annotated[GlcicParams | UNetParams, Field(discriminator="name")]
)
MEAN_PIXEL = TypeAdapter(Annotated[list[Share], Field(min_length=3, max_length=3)])


def device_of(accelerator: str) -> torch.device:
    """Find the device that `runtime.accelerator` stands for; `auto` is a GPU if there is one, and else the CPU.

    Raises:
        UserError: there is no such device here.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if accelerator == "auto":
        return torch.device(next(name for name, there in available.items() if there))
    if not available[accelerator]:
        raise UserError(f"runtime.accelerator = {accelerator}: not available here; accelerator: cpu always works")
    return torch.device(accelerator)


class Completer:
    """Completes images with the weights of one file, in 32 bits.

    On another device a pixel may differ by a level of 255, as it may on another processor.

    Attributes:
        device: where the network computes.
        weights: the file.
        network: the generator, in eval mode.
        preprocessor: preprocessing with the fill, mask dilation and range of the training.
        image_size: side of the training images, in pixels.
        steps: number of training steps in the stage that wrote the weights; 0 if it trained nothing.
        init: SHA-256 of the weights that this stage started from; None if from random ones, or from those of a stage.
    """

    def __init__(self, weights: Path, device: torch.device | str = "cpu") -> None:
        """Load weights.

        Args:
            weights: a weights file of a generator.
            device: where to compute.

        Raises:
            UserError: the file is missing, or not a weights file of a generator.
        """
        self.device = torch.device(device)
        self.weights = weights = Path(weights)  # users give text
        state, about = load_weights(weights)
        try:
            input_params = Input.model_validate(about["input"])
            self.network = build_generator(GENERATOR.validate_python(about["generator"]), input_params)
            self.network.load_state_dict(state)
            mean_pixel = torch.tensor(MEAN_PIXEL.validate_python(about["mean_pixel"]))
            self.image_size: int = about["image_size"]
            self.steps: int = about["step"]
            self.init: str | None = about.get("init")
        except (KeyError, RuntimeError, ValidationError):
            raise UserError(f"{weights}: not the weights of a generator; name another file") from None
        self.preprocessor = Preprocessor(input_params, mean_pixel.to(self.device))
        self.network.eval().to(self.device).to(memory_format=torch.channels_last)

    def __call__(
        self, images: NDArray[np.uint8], masks: NDArray[Any], batch_size: int = 1, allow_large: bool = False
    ) -> NDArray[np.uint8]:
        """Complete images, `batch_size` at a time.

        The last batch is padded to the same size: the shape of a batch may affect rounding, and a
        completion must not depend on the number of images completed with it.

        Args:
            images: (N, 3, H, W), uint8, RGB; any H and W.
            masks: (N, 1, H, W), Boolean or of any numbers; 0 outside the hole, and inside 1 or 255.
            batch_size: number of images in a batch.
            allow_large: whether a hole may cover more than 60 % of its image.

        Returns:
            (N, 3, H, W), uint8, composites; outside the hole exactly the images.

        Raises:
            TypeError: the images are not bytes, or the masks are no numbers.
            ValueError: a shape is another, or the masks are none (`glcic.masks.rules`).
            UserError: what the network makes of an image is not finite.
        """
        if images.dtype != np.uint8:
            raise TypeError(f"images of type {images.dtype}; give uint8, from 0 to 255")
        if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape[2:]:
            raise ValueError(f"images of shape {images.shape}; give (N, 3, H, W)")
        if batch_size < 1:
            raise ValueError(f"batch_size of {batch_size}; give 1 or more")
        height, width = images.shape[2:]
        holes = checked_masks(masks, (len(images), 1, height, width), allow_large=allow_large)
        completed = np.empty_like(images)
        for start in range(0, len(images), batch_size):
            part = slice(start, start + batch_size)
            n = len(images[part])
            image = torch.zeros((batch_size, *images.shape[1:]))
            mask = torch.zeros((batch_size, *holes.shape[1:]))
            image[:n] = torch.from_numpy(images[part].copy()).float() / 255  # a view may be read-only or reversed
            mask[:n] = torch.from_numpy(holes[part]).float()
            completed[part] = self._complete(image.to(self.device), mask.to(self.device))[:n].cpu().numpy()
        return completed

    def _complete(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        height, width = image.shape[2:]
        stride = self.network.stride
        margin = (0, -width % stride, 0, -height % stride)
        masked = self.preprocessor(image, mask)
        filled = pad(masked.filled, margin, mode="replicate").contiguous(memory_format=torch.channels_last)
        # Without TF32, which cuDNN would use by default and which rounds to 10 bits.
        with torch.inference_mode(), cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            output = self.network(filled, pad(masked.dilated, margin))[..., :height, :width]
        if not output.isfinite().all():
            raise UserError(f"{self.weights}: the network's output is not finite; train again, or name another file")
        return (composite(self.preprocessor.to_unit(output), image, mask) * 255).round().clamp(0, 255).byte()
