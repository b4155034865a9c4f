"""Classical completion methods, which use a color or the surroundings.

No method sees what is under the hole. Images are (N, 3, H, W), masks (N, 1, H, W) with 1 in the hole, both uint8;
outside the hole a completion is exactly the image. An image that is all hole becomes gray. Safe in threads and
processes.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from skimage.restoration import inpaint_biharmonic

from glcic.masks.geometry import Pixels

RADIUS = 3  # radius in pixels of the neighborhood that OpenCV's methods use
OPENCV_METHODS = {"telea": cv2.INPAINT_TELEA, "navier_stokes": cv2.INPAINT_NS}
GRAY_LEVEL = 128


def hide(images: Pixels, masks: Pixels) -> Pixels:
    """Overwrite the hole with the mean color of the image's visible pixels, or gray if no pixel is visible.

    Args:
        images: (N, 3, H, W).
        masks: (N, 1, H, W), 1 in the hole.

    Returns:
        (N, 3, H, W), uint8.
    """
    visible = 1 - masks
    total = (images * visible).sum(axis=(2, 3), keepdims=True, dtype=np.float64)
    count = visible.sum(axis=(2, 3), keepdims=True, dtype=np.int64)
    color = np.where(count > 0, np.rint(total / np.maximum(count, 1)), GRAY_LEVEL).astype(np.uint8)
    return np.where(masks == 1, color, images)


def mean_fill(images: Pixels, masks: Pixels, mean_pixel: Sequence[float]) -> Pixels:
    """Fill the hole with the training split's mean pixel.

    Args:
        images: (N, 3, H, W).
        masks: (N, 1, H, W), 1 in the hole.
        mean_pixel: (3,), in [0, 1].

    Returns:
        (N, 3, H, W), uint8.
    """
    color = np.round(np.array(mean_pixel) * 255).astype(np.uint8)[:, None, None]
    return np.where(masks == 1, color, images)


def inpaint(images: Pixels, masks: Pixels, method: str, radius: int = RADIUS) -> Pixels:
    """Complete images by OpenCV's `telea` (fast marching, 2004) or `navier_stokes` (Bertalmío et al., 2001).

    Both read pixels under a hole that touches the edge of the image, so the hole is overwritten first.

    Args:
        images: (N, 3, H, W).
        masks: (N, 1, H, W), 1 in the hole.
        method: key of `OPENCV_METHODS`.
        radius: radius in pixels of the neighborhood that is used.

    Returns:
        (N, 3, H, W), uint8.
    """
    completed = [
        cv2.inpaint(np.ascontiguousarray(image.transpose(1, 2, 0)), mask[0], radius, OPENCV_METHODS[method])
        for image, mask in zip(hide(images, masks), masks, strict=True)
    ]
    return np.stack(completed).transpose(0, 3, 1, 2).astype(np.uint8, copy=False)


def biharmonic(images: Pixels, masks: Pixels) -> Pixels:
    """Complete images by the smoothest continuation, scikit-image's solution of Δ²u = 0 (Damelin and Hoang, 2018).

    It overshoots in large holes; scikit-image clips each channel to the range of the image's visible pixels.

    Args:
        images: (N, 3, H, W).
        masks: (N, 1, H, W), 1 in the hole.

    Returns:
        (N, 3, H, W), uint8.
    """
    completed = hide(images, masks)
    for image, mask in zip(completed, masks, strict=True):
        if not mask.all():
            solution = inpaint_biharmonic(image.astype(np.float64), mask[0], channel_axis=0)
            image[:] = np.rint(solution).astype(np.uint8)
    return completed
