"""Holes to train on: a box or several, the centre, brush strokes, or masks from files.

Masks are (N, 1, S, S), 1 in the hole, and none is empty. OpenCV is imported where strokes are: the other holes do
without it, and each training process would pay for the import.
"""

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glcic.masks.files import read_masks
from glcic.masks.geometry import Masks, bounding_boxes, box_masks, centred_corners, random_boxes, random_corners
from glcic.params import BoxHoles, CenterHole, Holes, StrokeHoles

DrawMasks = Callable[[np.random.Generator, int], Masks]

# The brush of Yu et al.: Free-Form Image Inpainting with Gated Convolution, 2019, in shares of the image's side. It
# zigzags: every stretch leaves the stroke's heading by SWERVE ± JITTER, in turn to the left and to the right.
WIDTHS = (12 / 256, 40 / 256)
LENGTH = 2**0.5 / 8  # mean, with half of it as the deviation
STRETCHES = (4, 12)
SWERVE, JITTER = 2 * math.pi / 5, 2 * math.pi / 15


class Drawing:
    """Draws masks and local windows as the section `holes` says.

    Raises:
        UserError: a mask file is bad, or the folder is not the one whose digest the parameters name.
    """

    def __init__(self, holes: Holes, size: int, local_window: int) -> None:
        self.size = size
        self.local_window = local_window
        self._masks = _mask_drawer(holes, size)

    def draw(self, rng: np.random.Generator, n: int) -> tuple[Masks, NDArray[np.int64], NDArray[np.int64]]:
        """Masks (n, 1, S, S), the local windows centred on them (n, 2), and local windows at random places (n, 2)."""
        masks = self._masks(rng, n)
        window = centred_corners(bounding_boxes(masks), self.size, self.local_window)
        return masks, window, random_corners(rng, n, self.size, self.local_window)


def _mask_drawer(holes: Holes, size: int) -> DrawMasks:
    # Partial functions, not lambdas: loader workers get them pickled.
    if isinstance(holes, BoxHoles):
        sides, number = (holes.sides[0], holes.sides[1]), (holes.number[0], holes.number[1])
        return partial(box_hole_masks, size=size, sides=sides, border=holes.border, number=number)
    if isinstance(holes, CenterHole):
        return partial(center_masks, size=size, side=holes.side)
    if isinstance(holes, StrokeHoles):
        return partial(stroke_masks, size=size, ratio=(holes.ratio[0], holes.ratio[1]))
    return partial(file_masks, masks=read_masks(Path(holes.folder), holes.sha256, "holes.sha256", size))


def center_masks(rng: np.random.Generator, n: int, size: int, side: int) -> Masks:
    """A square of `side` pixels in the middle; draws nothing."""
    corner = (size - side) // 2
    return box_masks(np.tile([corner, corner, side, side], (n, 1)), size)


def box_hole_masks(
    rng: np.random.Generator, n: int, size: int, sides: tuple[int, int], border: int, number: tuple[int, int]
) -> Masks:
    """Random boxes, which may overlap.

    Args:
        rng: source of randomness.
        n: how many masks.
        size: side S of the square image.
        sides: smallest and largest side of a box, both included.
        border: at least this many pixels remain between a box and the edge of the image.
        number: fewest and most boxes in an image, both included; uniform.
    """
    boxes = random_boxes(rng, n * number[1], size, sides, border)
    count = rng.integers(*number, size=n, endpoint=True)  # uses no randomness where the two are equal
    masks = box_masks(boxes, size).reshape(n, number[1], size, size)
    masks *= (np.arange(number[1]) < count[:, None])[:, :, None, None]
    return masks.max(axis=1, keepdims=True)


def stroke_masks(rng: np.random.Generator, n: int, size: int, ratio: tuple[float, float]) -> Masks:
    """Brush strokes that go on until they cover their share of the image, to the pixel.

    Args:
        rng: source of randomness.
        n: how many masks.
        size: side S of the square image.
        ratio: smallest and largest share of the image that is hole, in (0, 1); uniform. Where no whole number of
            pixels lies between the two, the largest below counts, but at least one pixel.
    """
    area = size**2
    smallest, largest = math.ceil(ratio[0] * area), math.floor(ratio[1] * area)
    targets = np.clip(np.round(rng.uniform(*ratio, size=n) * area), smallest, largest).astype(np.int64)
    return np.stack([_strokes(rng, size, max(1, int(target))) for target in targets])[:, None]


def _strokes(rng: np.random.Generator, size: int, target: int) -> NDArray[np.uint8]:
    import cv2

    mask = np.zeros((size, size), np.uint8)
    while True:
        # A brush whose first dab is more than the target would leave only a sliver of itself.
        width = max(1, round(min(rng.uniform(*WIDTHS) * size, target**0.5)))
        for start, end in _zigzag(rng, size):
            before = mask.copy()
            cv2.line(mask, start, end, 1, width)  # its ends are round
            if cv2.countNonZero(mask) >= target:
                rows, columns = np.nonzero(mask > before)
                reached = np.argsort(_arrival(rows, columns, start, end, width), kind="stable")
                reached = reached[: target - cv2.countNonZero(before)]
                before[rows[reached], columns[reached]] = 1
                return before


def _zigzag(rng: np.random.Generator, size: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Starts and ends (x, y) of a stroke's stretches; it may run out of the image."""
    stretches = rng.integers(*STRETCHES, endpoint=True)
    side = np.where(np.arange(stretches) % 2, -1, 1)
    angle = rng.uniform(0, 2 * math.pi) + side * rng.uniform(SWERVE - JITTER, SWERVE + JITTER, stretches)
    length = LENGTH * size * np.clip(rng.normal(1, 0.5, stretches), 0, 2)
    steps = length[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    vertices = rng.integers(0, size, size=(1, 2)) + np.concatenate([np.zeros((1, 2)), steps.cumsum(axis=0)])
    points = [(x, y) for x, y in np.round(vertices).astype(int).tolist()]
    return list(pairwise(points))


def _arrival(
    rows: NDArray[np.int64], columns: NDArray[np.int64], start: tuple[int, int], end: tuple[int, int], width: int
) -> NDArray[np.float64]:
    """How far the middle of the brush has gone from start to end when its round front reaches each pixel."""
    x, y = end[0] - start[0], end[1] - start[1]
    length = math.hypot(x, y) or 1
    along = ((columns - start[0]) * x + (rows - start[1]) * y) / length
    across = ((columns - start[0]) * y - (rows - start[1]) * x) / length
    return along - np.sqrt(np.maximum((width / 2) ** 2 - across**2, 0))


def file_masks(rng: np.random.Generator, n: int, masks: Masks) -> Masks:
    """n of the masks (M, 1, S, S), each equally likely and any number of times."""
    return masks[rng.integers(len(masks), size=n)]
