"""Random flips, crops and color changes for training images.

Drawing is separate from applying: every process of a training run draws the random numbers of the whole batch, but
transforms only its own images.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glcic.params import Augmentation


@dataclass(frozen=True)
class Draws:
    """Random transforms of N images; a transform that is off has its neutral value.

    Attributes:
        flip: (N,), bool.
        share: (N,), fraction of the image's area that the square crop keeps, in (0, 1]; 1 keeps the whole image.
        place: (N, 2), position of the crop in [0, 1): from top to bottom, and from left to right.
        brightness, contrast, saturation: (N,), factors, at least 0; 1 changes nothing.
        hue: (N,), shift in turns of the color wheel, in [−½, ½]; 0 changes nothing.
    """

    flip: NDArray[np.bool_]
    share: NDArray[np.float64]
    place: NDArray[np.float64]
    brightness: NDArray[np.float64]
    contrast: NDArray[np.float64]
    saturation: NDArray[np.float64]
    hue: NDArray[np.float64]


def draw(rng: np.random.Generator, n: int, section: Augmentation) -> Draws:
    """Draw random transforms for n images: the flip always, the others only where they are on.

    Turning a transform off therefore leaves all draws before it unchanged; for the flip, those after it as well.

    Args:
        rng: source of randomness.
        n: number of images.
        section: the parameters of the augmentation.
    """
    flip = rng.random(n) < section.flip
    share, place = np.ones(n), np.zeros((n, 2))
    if section.crop[0] < 1:
        share, place = rng.uniform(section.crop[0], section.crop[1], n), rng.random((n, 2))
    brightness, contrast, saturation = (
        rng.uniform(1 - strength, 1 + strength, n) if strength else np.ones(n)
        for strength in (section.brightness, section.contrast, section.saturation)
    )
    hue = rng.uniform(-section.hue, section.hue, n) if section.hue else np.zeros(n)
    return Draws(flip, share, place, brightness, contrast, saturation, hue)


def apply(images: Tensor, draws: Draws, mine: slice = slice(None)) -> Tensor:
    """Flip images, crop and resize them to their original size, then change brightness, contrast, saturation and hue.

    Args:
        images: (N, 3, S, S), uint8.
        draws: random transforms of a whole batch.
        mine: positions of these N images in the batch.

    Returns:
        (N, 3, S, S), uint8. Each image depends on its own draws only.
    """
    places = range(len(draws.flip))[mine]
    return torch.stack([_transform(image, draws, i) for image, i in zip(images, places, strict=True)])


def _transform(image: Tensor, draws: Draws, i: int) -> Tensor:
    if draws.flip[i]:
        image = image.flip(-1)
    share, factors = draws.share[i], (draws.brightness[i], draws.contrast[i], draws.saturation[i])
    if share == 1 and factors == (1, 1, 1) and draws.hue[i] == 0:
        return image
    from torchvision.transforms.v2 import functional  # slow to import, and most trainings only flip

    size = image.shape[-1]
    side = max(1, round(size * float(share) ** 0.5))
    if side < size:
        top, left = (int(p * (size - side + 1)) for p in draws.place[i])
        image = functional.resized_crop(image, top, left, side, side, [size, size], antialias=True)
    # Skip whatever is off: applying a neutral factor to uint8 is not always exact.
    changes = functional.adjust_brightness, functional.adjust_contrast, functional.adjust_saturation
    for change, factor in zip(changes, factors, strict=True):
        if factor != 1:
            image = change(image, float(factor))
    if draws.hue[i] != 0:
        image = functional.adjust_hue(image, float(draws.hue[i]))
    return image
