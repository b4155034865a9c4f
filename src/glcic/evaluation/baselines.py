"""Classical completions, which need no training."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

RADIUS = 3  # pixels around each point that the classical methods look at
METHODS = {"telea": cv2.INPAINT_TELEA, "navier_stokes": cv2.INPAINT_NS}


def mean_fill(images: NDArray[np.uint8], masks: NDArray[np.uint8], mean_pixel: Sequence[float]) -> NDArray[np.uint8]:
    """The training split's mean pixel everywhere in the hole.

    Args:
        images: (N, 3, H, W).
        masks: (N, 1, H, W), 1 in the hole.
        mean_pixel: (3,), in [0, 1].
    """
    colour = np.round(np.array(mean_pixel) * 255).astype(np.uint8)[:, None, None]
    return np.where(masks == 1, colour, images)


def inpaint(images: NDArray[np.uint8], masks: NDArray[np.uint8], method: str) -> NDArray[np.uint8]:
    """OpenCV's `telea` (fast marching, 2004) or `navier_stokes` (Bertalmío et al., 2001); shapes as above."""
    completed = [
        cv2.inpaint(np.ascontiguousarray(image.transpose(1, 2, 0)), mask[0], RADIUS, METHODS[method])
        for image, mask in zip(images, masks, strict=True)
    ]
    return np.stack(completed).transpose(0, 3, 1, 2).astype(np.uint8, copy=False)
