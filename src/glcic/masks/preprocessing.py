"""Preprocessing of images with holes, for training and inference."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from glcic.masks.geometry import dilate
from glcic.params import Fill, Input

MID_GRAY = 127.5 / 255


@dataclass(frozen=True)
class MaskedImages:
    """Images with holes, as the networks see them.

    Attributes:
        image: x, (N, 3, S, S), the ground truth, in the networks' range.
        mask: M, (N, 1, S, S), 1 in the hole.
        dilated: (N, 1, S, S), the mask grown by `input.mask_dilation` pixels; the generator's input.
        filled: (N, 3, S, S), the image with its hole overwritten by the fill, in the networks' range.
    """

    image: Tensor
    mask: Tensor
    dilated: Tensor
    filled: Tensor


@dataclass(frozen=True)
class Preprocessor:
    """Cuts holes, fills them, and converts between [0, 1] and the networks' range, [0, 1] or [−1, 1].

    Attributes:
        input_params: fill, mask dilation and range.
        mean_pixel: (3,), mean of the training split, in [0, 1].
    """

    input_params: Input
    mean_pixel: Tensor

    def __call__(self, image: Tensor, mask: Tensor) -> MaskedImages:
        """Preprocess images (N, 3, H, W) in [0, 1] with masks (N, 1, H, W), 1 in the hole."""
        filled = fill_image(image, mask, self.input_params.fill, self.mean_pixel)
        dilated = dilate(mask, self.input_params.mask_dilation)
        return MaskedImages(self._to_range(image), mask, dilated, self._to_range(filled))

    def to_unit(self, values: Tensor) -> Tensor:
        """Convert values of any shape from the networks' range to [0, 1]."""
        return (values + 1) / 2 if self.input_params.symmetric else values

    @property
    def span(self) -> float:
        """Width of the networks' range: 1 or 2."""
        return 2.0 if self.input_params.symmetric else 1.0

    def _to_range(self, image: Tensor) -> Tensor:
        return image * 2 - 1 if self.input_params.symmetric else image


def fill_image(image: Tensor, mask: Tensor, fill: Fill, mean_pixel: Tensor) -> Tensor:
    """Overwrite the hole, so that the network cannot see what was there.

    Args:
        image: (N, 3, H, W), in [0, 1] outside the hole; inside, values may be anything, even NaN.
        mask: (N, 1, H, W), 1 in the hole.
        fill: `mean` (the paper), `mid_gray` (127.5 of 255), a constant in [0, 1], or `surroundings`, a smooth
            continuation of the pixels around the hole.
        mean_pixel: (3,), mean of the training split, in [0, 1].

    Returns:
        (N, 3, H, W), in [0, 1]; outside the hole exactly the image.
    """
    hole, mean = mask.bool(), mean_pixel.view(1, -1, 1, 1)
    if fill == "surroundings":
        rim = (dilate(hole.to(image.dtype), 1) > 0) & ~hole
        return torch.where(hole, _continued(image.masked_fill(~rim, 0), rim.to(image.dtype), mean), image)
    if fill == "mean":
        return torch.where(hole, mean, image)
    return image.masked_fill(hole, MID_GRAY if fill == "mid_gray" else fill)


def _continued(image: Tensor, rim: Tensor, mean: Tensor) -> Tensor:
    """Average the rim's pixels at every pixel, weighted by 1/distance².

    For a straight edge, this is Poisson's kernel, which solves Laplace's equation; for our holes it comes close.
    The sums over the rim are convolutions, computed by Fourier transform on twice the side.

    Args:
        image: (N, C, H, W), 0 outside the rim.
        rim: (N, 1, H, W), 1 for the pixels next to a hole.
        mean: (1, C, 1, 1), for images without a rim, where nothing is known.

    Returns:
        (N, C, H, W), in [0, 1].
    """
    height, width = image.shape[2:]
    sides = (2 * height, 2 * width)
    spectrum = torch.fft.rfft2(torch.cat([image, rim], dim=1), sides) * _weights_spectrum(*sides, image.device)
    sums = torch.fft.irfft2(spectrum, sides)
    color, total = sums[:, :-1, :height, :width], sums[:, -1:, :height, :width]
    known = rim.amax(dim=(2, 3), keepdim=True) > 0
    return torch.where(known, (color / total.clamp_min(1e-6)).clamp(0, 1), mean)


@lru_cache(maxsize=2)  # made once in a training; photos of many sizes must not fill the memory
@torch.inference_mode(False)  # whoever asks first
def _weights_spectrum(height: int, width: int, device: torch.device) -> Tensor:
    """Fourier transform (height, width // 2 + 1) of the weights 1/distance² from the pixel at 0, 0, on a torus."""
    y, x = (torch.fft.fftfreq(side, 1 / side, device=device) for side in (height, width))  # 0, 1, …, −2, −1
    return torch.fft.rfft2(1 / (y.square()[:, None] + x.square()).clamp_min(1))
