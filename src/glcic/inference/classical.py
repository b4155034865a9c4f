"""Classical completion methods, which use a color, the surroundings, or the training images.

No method sees what is under the hole. Images are (N, 3, H, W), masks (N, 1, H, W) with 1 in the hole, both uint8;
outside the hole a completion is exactly the image. An image that is all hole becomes gray (`nearest`: the first
training image). Safe in threads and processes.
"""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.restoration import inpaint_biharmonic
from tqdm import tqdm

from glcic.data.packed import PackedImages
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


class NearestTrainingImage:
    """Fills the hole from the training image that is nearest to the image's visible pixels.

    The nearest image has the least sum of squared differences over visible pixels and channels, and of equally near
    ones the lowest row. Memory: below 1 GB at S = 128 for any number of images; time: 10 s on one core for 512 images
    and 20,000 training images at S = 64, growing with both and with S².
    """

    def __init__(self, training: PackedImages, block: int = 256, images: int = 512) -> None:
        """Set the method up; no image is read yet.

        Args:
            training: the training split.
            block: number of training images in memory at a time, as 64-bit numbers.
            images: the same of images to complete.
        """
        self._training = training
        self._block = block
        self._images = images

    def __call__(self, images: Pixels, masks: Pixels) -> Pixels:
        """Complete images; pass many at once, because every call reads all training images.

        Args:
            images: (N, 3, S, S).
            masks: (N, 1, S, S), 1 in the hole.

        Returns:
            (N, 3, S, S), uint8.
        """
        return np.where(masks == 1, self._training.read(self.nearest(images, masks)), images)

    def nearest(self, images: Pixels, masks: Pixels) -> NDArray[np.int64]:
        """Find the nearest training image of each image.

        Args:
            images: (N, 3, S, S).
            masks: (N, 1, S, S), 1 in the hole.

        Returns:
            (N,), int64, numbers of images within the training split.
        """
        parts = range(0, len(images), self._images)
        found = [self._nearest(images[i : i + self._images], masks[i : i + self._images]) for i in parts]
        return np.concatenate([np.empty(0, np.int64), *found])

    def _nearest(self, images: Pixels, masks: Pixels) -> NDArray[np.int64]:
        """Minimize Σ v (t − x)² by Σ v t² − 2 Σ t (v x), two matrix products; Σ v x² is the same for all t.

        All sums are integers below 2⁵³, which 64-bit numbers represent exactly: the result does not depend on the
        order of summation, and thus neither on the block nor on the number of threads.
        """
        visible = (masks == 0).reshape(len(masks), -1).astype(np.float64)  # (N, H·W)
        doubled = np.where(masks == 0, images, 0).reshape(len(images), -1) * 2.0  # (N, 3·H·W)
        least = np.full(len(images), np.inf)
        nearest = np.zeros(len(images), np.int64)
        for first, block in self._blocks():
            squares = np.einsum("ncp,ncp->np", block, block)
            distance = squares @ visible.T - block.reshape(len(block), -1) @ doubled.T  # (block, N)
            candidate = distance.argmin(axis=0)
            value = distance[candidate, np.arange(len(images))]
            nearer = value < least  # not ≤: the first of equals wins
            least[nearer] = value[nearer]
            nearest[nearer] = first + candidate[nearer]
        return nearest

    def _blocks(self) -> Iterator[tuple[int, NDArray[np.float64]]]:
        """Yield the number of each block's first image within the split, and its images: (block, 3, H·W)."""
        total = len(self._training)
        starts = range(0, total, self._block)
        for first in tqdm(starts, desc="nearest training image", unit=" blocks", leave=False, disable=None):
            items = np.arange(first, min(first + self._block, total))
            yield first, self._training.read(items).reshape(len(items), 3, -1).astype(np.float64)
