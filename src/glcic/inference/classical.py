"""Classical completions: of a colour, of the surroundings, of the training images. None sees what is under the hole.

Images are (N, 3, H, W), masks (N, 1, H, W) with 1 in the hole, both uint8; outside the hole a completion is exactly
the image. An image that is all hole becomes grey (`nearest`: the first training image). Safe in threads and processes.
"""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.restoration import inpaint_biharmonic
from tqdm import tqdm

from glcic.data.faces import Faces
from glcic.masks.geometry import Pixels

RADIUS = 3  # pixels around each point that OpenCV's methods look at
OPENCV_METHODS = {"telea": cv2.INPAINT_TELEA, "navier_stokes": cv2.INPAINT_NS}
GREY_LEVEL = 128


def hide(images: Pixels, masks: Pixels) -> Pixels:
    """The hole overwritten with the mean colour of the image's visible pixels; grey where no pixel is visible."""
    visible = 1 - masks
    total = (images * visible).sum(axis=(2, 3), keepdims=True, dtype=np.float64)
    count = visible.sum(axis=(2, 3), keepdims=True, dtype=np.int64)
    colour = np.where(count > 0, np.rint(total / np.maximum(count, 1)), GREY_LEVEL).astype(np.uint8)
    return np.where(masks == 1, colour, images)


def mean_fill(images: Pixels, masks: Pixels, mean_pixel: Sequence[float]) -> Pixels:
    """The training split's mean pixel everywhere in the hole.

    Args:
        images: (N, 3, H, W).
        masks: (N, 1, H, W), 1 in the hole.
        mean_pixel: (3,), in [0, 1].
    """
    colour = np.round(np.array(mean_pixel) * 255).astype(np.uint8)[:, None, None]
    return np.where(masks == 1, colour, images)


def inpaint(images: Pixels, masks: Pixels, method: str, radius: int = RADIUS) -> Pixels:
    """OpenCV's `telea` (fast marching, 2004) or `navier_stokes` (Bertalmío et al., 2001); shapes as above.

    Both read pixels under the hole where it touches the edge of the image, so it is hidden first.
    """
    completed = [
        cv2.inpaint(np.ascontiguousarray(image.transpose(1, 2, 0)), mask[0], radius, OPENCV_METHODS[method])
        for image, mask in zip(hide(images, masks), masks, strict=True)
    ]
    return np.stack(completed).transpose(0, 3, 1, 2).astype(np.uint8, copy=False)


def biharmonic(images: Pixels, masks: Pixels) -> Pixels:
    """The smoothest continuation: skimage's solution of Δ²u = 0 in the hole (Damelin and Hoang, 2018).

    It overshoots in large holes; skimage clips each channel to the range of the image's visible pixels.
    """
    completed = hide(images, masks)
    for image, mask in zip(completed, masks, strict=True):
        if not mask.all():
            solution = inpaint_biharmonic(image.astype(np.float64), mask[0], channel_axis=0)
            image[:] = np.rint(solution).astype(np.uint8)
    return completed


class NearestTrainingImage:
    """Pastes the training image into the hole that is nearest to the visible pixels of the image.

    Nearest by the sum of squared differences over the visible pixels and the channels, the lower row where two are
    equally near. Memory: below 1 GB at S = 128, whatever the numbers of images; time: 10 s of a core for 512 images and
    20,000 training images at S = 64, growing with both and with S².
    """

    def __init__(self, training: Faces, block: int = 256, images: int = 512) -> None:
        """Nothing is read yet.

        Args:
            training: the training split.
            block: training images in memory at a time, as 64-bit numbers.
            images: images to be completed in memory at a time, likewise.
        """
        self._training = training
        self._block = block
        self._images = images

    def __call__(self, images: Pixels, masks: Pixels) -> Pixels:
        """Complete a whole mask set at once, for all training images are read for every call."""
        return np.where(masks == 1, self._training.read(self.nearest(images, masks)), images)

    def nearest(self, images: Pixels, masks: Pixels) -> NDArray[np.int64]:
        """The number of the nearest image within the training split, for each image: (N,)."""
        parts = range(0, len(images), self._images)
        found = [self._nearest(images[i : i + self._images], masks[i : i + self._images]) for i in parts]
        return np.concatenate([np.empty(0, np.int64), *found])

    def _nearest(self, images: Pixels, masks: Pixels) -> NDArray[np.int64]:
        """Σ (t − x)² over the visible pixels is, but for Σ x², Σ v t² − 2 Σ t (v x): two matrix products.

        Every sum of them is an integer below 2⁵³, so 64-bit numbers hold it exactly: the answer does not depend on the
        order of summation, hence neither on the block nor on the number of threads.
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
            nearer = value < least  # not ≤: of equals the first
            least[nearer] = value[nearer]
            nearest[nearer] = first + candidate[nearer]
        return nearest

    def _blocks(self) -> Iterator[tuple[int, NDArray[np.float64]]]:
        """The number of a block's first image within the split, and its images: (block, 3, H·W)."""
        total = len(self._training)
        starts = range(0, total, self._block)
        for first in tqdm(starts, desc="nearest training image", unit=" blocks", leave=False, disable=None):
            items = np.arange(first, min(first + self._block, total))
            yield first, self._training.read(items).reshape(len(items), 3, -1).astype(np.float64)
