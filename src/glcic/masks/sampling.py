"""Random training masks: boxes, the center, boxes at an edge, halves, brush strokes, files, or a mixture of these.

Masks are (N, 1, S, S), uint8, 1 in the hole; none is empty. Only strokes need OpenCV, which is slow to import in each
training process, so it is imported where they are drawn.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from glcic.masks.files import read_masks
from glcic.masks.geometry import (
    Masks,
    bounding_boxes,
    box_masks,
    centered_corners,
    halves,
    random_boxes,
    random_corners,
    touching,
)
from glcic.params import AnyKind, BorderMasks, BoxMasks, CenterMask, HalfMasks, MaskParams, StrokeMasks, shares_of
from glcic.paths import given

DrawMasks = Callable[[np.random.Generator, int], Masks]

# The brush of Yu et al.: Free-Form Image Inpainting with Gated Convolution, 2019, in fractions of the image's side. It
# zigzags: every stretch deviates from the stroke's heading by SWERVE ± JITTER, alternately to the left and right.
WIDTHS = (12 / 256, 40 / 256)
LENGTH = 2**0.5 / 8  # mean; half of it is the standard deviation
STRETCHES = (4, 12)
SWERVE, JITTER = 2 * math.pi / 5, 2 * math.pi / 15


class MaskSampler:
    """Draws masks and local windows as the parameters `masks` say.

    Args:
        masks: the parameters.
        image_size: side S of the square images, in pixels.
        local_window: side of the local windows, in pixels.

    Raises:
        UserError: a mask file is bad, or the digest of the folder differs from the parameters.
    """

    def __init__(self, masks: MaskParams, image_size: int, local_window: int) -> None:
        self.image_size = image_size
        self.local_window = local_window
        self._masks = _drawer_of_all(masks, image_size)

    def sample(self, rng: np.random.Generator, n: int) -> tuple[Masks, NDArray[np.int64], NDArray[np.int64]]:
        """Draw n masks.

        Returns:
            The masks (n, 1, S, S), uint8; top and left of the local windows centered on them, (n, 2), int64; and the
            same of local windows at random positions.
        """
        masks = self._masks(rng, n)
        window = centered_corners(bounding_boxes(masks), self.image_size, self.local_window)
        return masks, window, random_corners(rng, n, self.image_size, self.local_window)


def _drawer_of_all(masks: MaskParams, image_size: int) -> DrawMasks:
    # Partial functions, not lambdas, because they are pickled for the loader workers.
    if not isinstance(masks, list):
        return _drawer(masks, image_size, "masks")
    drawers = [_drawer(kind, image_size, f"masks.{k}") for k, kind in enumerate(masks)]
    return partial(mixed_masks, drawers=drawers, shares=shares_of(masks))


def _drawer(kind: AnyKind, image_size: int, section: str) -> DrawMasks:
    if isinstance(kind, BoxMasks):
        return partial(
            random_box_masks,
            image_size=image_size,
            size_range=(kind.size_range[0], kind.size_range[1]),
            margin=kind.margin,
            num_boxes=(kind.num_boxes[0], kind.num_boxes[1]),
        )
    if isinstance(kind, CenterMask):
        return partial(center_masks, image_size=image_size, size=kind.size)
    if isinstance(kind, BorderMasks):
        return partial(border_masks, image_size=image_size, size_range=(kind.size_range[0], kind.size_range[1]))
    if isinstance(kind, HalfMasks):
        return partial(half_masks, image_size=image_size)
    if isinstance(kind, StrokeMasks):
        return partial(stroke_masks, image_size=image_size, area_ratio=(kind.area_ratio[0], kind.area_ratio[1]))
    return partial(file_masks, masks=read_masks(given(kind.folder), kind.sha256, f"{section}.sha256", image_size))


def mixed_masks(rng: np.random.Generator, n: int, drawers: Sequence[DrawMasks], shares: Sequence[float]) -> Masks:
    """Draw masks of several kinds.

    Args:
        rng: source of randomness; a single kind takes as much of it as by itself.
        n: number of masks.
        drawers: one for each kind.
        shares: probability of each kind; they sum to 1.

    Returns:
        (n, 1, S, S), uint8, 1 in the hole.
    """
    if len(drawers) == 1:
        return drawers[0](rng, n)
    kinds = rng.choice(len(drawers), size=n, p=shares)
    drawn = [
        draw(rng, int(count))
        for draw, count in zip(drawers, np.bincount(kinds, minlength=len(drawers)), strict=True)
        if count
    ]
    masks = np.empty((n, *drawn[0].shape[1:]), np.uint8)
    masks[np.argsort(kinds, kind="stable")] = np.concatenate(drawn)
    return masks


def center_masks(rng: np.random.Generator, n: int, image_size: int, size: int) -> Masks:
    """Masks (n, 1, S, S) with a square of side `size` pixels in the middle; uses no randomness."""
    corner = (image_size - size) // 2
    return box_masks(np.tile([corner, corner, size, size], (n, 1)), image_size)


def random_box_masks(
    rng: np.random.Generator,
    n: int,
    image_size: int,
    size_range: tuple[int, int],
    margin: int,
    num_boxes: tuple[int, int],
) -> Masks:
    """Draw masks of random boxes, which may overlap.

    Args:
        rng: source of randomness.
        n: number of masks.
        image_size: side S of the square image, in pixels.
        size_range: smallest and largest side of a box, both included, in pixels.
        margin: least distance of a box from the edge of the image, in pixels.
        num_boxes: smallest and largest number of boxes in an image, both included; uniform.

    Returns:
        (n, 1, S, S), uint8, 1 in the hole.
    """
    boxes = random_boxes(rng, n * num_boxes[1], image_size, size_range, margin)
    count = rng.integers(*num_boxes, size=n, endpoint=True)  # uses no randomness where the two are equal
    masks = box_masks(boxes, image_size).reshape(n, num_boxes[1], image_size, image_size)
    masks *= (np.arange(num_boxes[1]) < count[:, None])[:, :, None, None]
    return masks.max(axis=1, keepdims=True)


def border_masks(rng: np.random.Generator, n: int, image_size: int, size_range: tuple[int, int]) -> Masks:
    """Masks (n, 1, S, S) of random boxes that touch an edge, each edge equally likely; sides as in `random_boxes`."""
    return box_masks(touching(rng, random_boxes(rng, n, image_size, size_range, 0), image_size), image_size)


def half_masks(rng: np.random.Generator, n: int, image_size: int) -> Masks:
    """Masks (n, 1, S, S) of half of the image: left, right, upper or lower, equally likely."""
    return box_masks(halves(image_size)[rng.integers(4, size=n)], image_size)


def stroke_masks(rng: np.random.Generator, n: int, image_size: int, area_ratio: tuple[float, float]) -> Masks:
    """Draw masks of brush strokes, which continue until they cover a given fraction of the image, to the pixel.

    Args:
        rng: source of randomness.
        n: number of masks.
        image_size: side S of the square image, in pixels.
        area_ratio: smallest and largest fraction of the image that is hole, in (0, 1); uniform. If no whole number
            of pixels lies between the two, the largest number below is used, but at least one pixel.

    Returns:
        (n, 1, S, S), uint8, 1 in the hole.
    """
    area = image_size**2
    smallest, largest = math.ceil(area_ratio[0] * area), math.floor(area_ratio[1] * area)
    targets = np.clip(np.round(rng.uniform(*area_ratio, size=n) * area), smallest, largest).astype(np.int64)
    return np.stack([_strokes(rng, image_size, max(1, int(target))) for target in targets])[:, None]


def _strokes(rng: np.random.Generator, size: int, target: int) -> NDArray[np.uint8]:
    import cv2

    mask = np.zeros((size, size), np.uint8)
    while True:
        # If the first dab of a brush exceeded the target, only a sliver of it would remain.
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
    """Starts and ends (x, y) of a stroke's stretches; the stroke may leave the image."""
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
    """Distance that the middle of the brush has moved from start to end when its round front reaches each pixel."""
    x, y = end[0] - start[0], end[1] - start[1]
    length = math.hypot(x, y) or 1
    along = ((columns - start[0]) * x + (rows - start[1]) * y) / length
    across = ((columns - start[0]) * y - (rows - start[1]) * x) / length
    return along - np.sqrt(np.maximum((width / 2) ** 2 - across**2, 0))


def file_masks(rng: np.random.Generator, n: int, masks: Masks) -> Masks:
    """Draw n of the masks (M, 1, S, S), uniformly and with replacement: (n, 1, S, S)."""
    return masks[rng.integers(len(masks), size=n)]
