"""Geometry of holes. Throughout this project, a mask is 1 in the hole and 0 elsewhere."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import max_pool2d

Boxes = NDArray[np.int64]  # (N, 4): top, left, height, width, in pixels
Masks = NDArray[np.uint8]  # (N, 1, S, S), 1 in the hole
Pixels = NDArray[np.uint8]  # images (N, 3, H, W), or one image (3, H, W), in [0, 255]


def random_boxes(rng: np.random.Generator, n: int, image_size: int, size_range: tuple[int, int], margin: int) -> Boxes:
    """Draw boxes of independent, uniform height and width, at uniform positions.

    Args:
        rng: source of randomness.
        n: number of boxes.
        image_size: side S of the square image, in pixels.
        size_range: smallest and largest side, both included, in pixels.
        margin: least distance of a box from the edge of the image, in pixels.

    Returns:
        (N, 4): top, left, height, width.
    """
    extent = rng.integers(*size_range, size=(n, 2), endpoint=True)
    corner = rng.integers(margin, image_size - margin - extent, endpoint=True)
    return np.concatenate([corner, extent], axis=1)


def random_corners(rng: np.random.Generator, n: int, size: int, window: int) -> NDArray[np.int64]:
    """Draw uniform positions of windows of side `window` in an image of side `size`: (n, 2), top and left."""
    return rng.integers(0, size - window, size=(n, 2), endpoint=True)


def centered_corners(boxes: Boxes, size: int, window: int) -> NDArray[np.int64]:
    """Center a window on each box, moved as little as needed to lie inside the image.

    Args:
        boxes: (N, 4).
        size: side of the square image, in pixels.
        window: side of the square windows, in pixels.

    Returns:
        (N, 2), int64: top and left.
    """
    corner = boxes[:, :2] + (boxes[:, 2:] - window) // 2
    return np.clip(corner, 0, size - window)


def touching(rng: np.random.Generator, boxes: Boxes, size: int) -> Boxes:
    """Move each of the boxes (N, 4), in place, to one of the edges of an image of side `size`, all equally likely."""
    side = rng.integers(4, size=len(boxes))
    axis, far = side % 2, side // 2 == 1
    row = np.arange(len(boxes))
    boxes[row, axis] = np.where(far, size - boxes[row, 2 + axis], 0)
    return boxes


def halves(size: int) -> Boxes:
    """The left, right, upper and lower half of an image of side `size`, as boxes (4, 4)."""
    half = size // 2
    return np.array(
        [(0, 0, size, half), (0, size - half, size, half), (0, 0, half, size), (size - half, 0, half, size)]
    )


def box_masks(boxes: Boxes, size: int) -> Masks:
    """Masks (N, 1, S, S) of boxes (N, 4) in images of side `size`, 1 in the hole."""
    place = np.arange(size)
    top, left, height, width = boxes.T[:, :, None]
    rows = (place >= top) & (place < top + height)  # (N, S)
    columns = (place >= left) & (place < left + width)
    return (rows[:, None, :, None] & columns[:, None, None, :]).astype(np.uint8)


def bounding_boxes(masks: Masks) -> Boxes:
    """Smallest boxes (N, 4) around the whole holes of masks (N, 1, S, S). No mask may be empty."""
    corner, extent = [], []
    for axis in (3, 2):  # rows, then columns
        hit = masks.max(axis=(1, axis))  # (N, S)
        first, last = hit.argmax(axis=1), hit.shape[1] - 1 - hit[:, ::-1].argmax(axis=1)
        corner.append(first)
        extent.append(last - first + 1)
    return np.stack([*corner, *extent], axis=1)


def dilate(mask: Tensor, pixels: int) -> Tensor:
    """Grow the holes of masks (N, 1, H, W) by `pixels` on every side, with square corners; same shape and dtype."""
    return max_pool2d(mask, 2 * pixels + 1, stride=1, padding=pixels) if pixels else mask


def composite(output: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    """Take the output inside the hole and the image outside: what people see, and what discriminators judge.

    Args:
        output, image: (N, 3, H, W), in the same range.
        mask: (N, 1, H, W), 1 in the hole.

    Returns:
        (N, 3, H, W).
    """
    return output * mask + image * (1 - mask)
