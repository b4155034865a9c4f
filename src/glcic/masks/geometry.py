"""Where holes lie, and what follows from it. A mask is 1 in the hole and 0 elsewhere, everywhere in this project."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import max_pool2d

Boxes = NDArray[np.int64]  # (N, 4): top, left, height, width, in pixels
Masks = NDArray[np.uint8]  # (N, 1, S, S), 1 in the hole
Pixels = NDArray[np.uint8]  # of images: (N, 3, H, W), or (3, H, W) of one


def random_boxes(rng: np.random.Generator, n: int, size: int, sides: tuple[int, int], border: int) -> Boxes:
    """Draw boxes whose height and width are independent and uniform, at a uniform place.

    Args:
        rng: source of randomness.
        n: how many.
        size: side S of the square image.
        sides: smallest and largest side, both included.
        border: at least this many pixels remain between box and edge of the image.
    """
    extent = rng.integers(sides[0], sides[1], size=(n, 2), endpoint=True)
    corner = rng.integers(border, size - border - extent, endpoint=True)
    return np.concatenate([corner, extent], axis=1)


def random_corners(rng: np.random.Generator, n: int, size: int, window: int) -> NDArray[np.int64]:
    """Uniform places of a window of side `window` inside the image: (N, 2), top and left."""
    return rng.integers(0, size - window, size=(n, 2), endpoint=True)


def centred_corners(boxes: Boxes, size: int, window: int) -> NDArray[np.int64]:
    """Windows of side `window` centred on each box, moved as little as needed to lie inside the image: (N, 2)."""
    corner = boxes[:, :2] + (boxes[:, 2:] - window) // 2
    return np.clip(corner, 0, size - window)


def box_masks(boxes: Boxes, size: int) -> Masks:
    """Masks of boxes (N, 4): (N, 1, S, S), 1 in the hole."""
    place = np.arange(size)
    top, left, height, width = boxes.T[:, :, None]
    rows = (place >= top) & (place < top + height)  # (N, S)
    columns = (place >= left) & (place < left + width)
    return (rows[:, None, :, None] & columns[:, None, None, :]).astype(np.uint8)


def bounding_boxes(masks: Masks) -> Boxes:
    """The smallest box around the whole hole of each mask (N, 1, S, S): (N, 4). No mask may be empty."""
    corner, extent = [], []
    for axis in (3, 2):  # the hole's rows, then its columns
        hit = masks.max(axis=(1, axis))  # (N, S)
        first, last = hit.argmax(axis=1), hit.shape[1] - 1 - hit[:, ::-1].argmax(axis=1)
        corner.append(first)
        extent.append(last - first + 1)
    return np.stack([*corner, *extent], axis=1)


def dilate(mask: Tensor, pixels: int) -> Tensor:
    """The hole grown by `pixels` to every side, corners square: (N, 1, H, W), as the mask."""
    return max_pool2d(mask, 2 * pixels + 1, stride=1, padding=pixels) if pixels else mask


def composite(output: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    """The output inside the hole, the image outside: what people see, and what discriminators judge."""
    return output * mask + image * (1 - mask)
