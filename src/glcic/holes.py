"""Holes to train on: a box or several, the centre, brush strokes, or masks from files.

Masks are (N, 1, S, S), 1 in the hole, and none is empty. OpenCV and Pillow are imported where strokes and files are:
the other holes do without them, and each training process would pay for the import.
"""

import hashlib
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glcic.errors import UserError
from glcic.masks import Masks, box_masks, random_boxes

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}

# The brush of Yu et al.: Free-Form Image Inpainting with Gated Convolution, 2019, in shares of the image's side. It
# zigzags: every stretch leaves the stroke's heading by SWERVE ± JITTER, in turn to the left and to the right.
WIDTHS = (12 / 256, 40 / 256)
LENGTH = 2**0.5 / 8  # mean, with half of it as the deviation
STRETCHES = (4, 12)
SWERVE, JITTER = 2 * math.pi / 5, 2 * math.pi / 15


def center_masks(n: int, size: int, side: int) -> Masks:
    """A square of `side` pixels in the middle."""
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


def mask_files(folder: Path, size: int) -> Masks:
    """All masks of a folder, in the order of their names: white, from 128 on, is the hole.

    Masks of another size are resized to the nearest pixel.

    Raises:
        UserError: there are none, or one can't be read, is not square, or is all hole or has none.
    """
    return np.stack([_read(path, size) for path in _mask_paths(folder)])[:, None]


def folder_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of a folder's masks; other files don't count.

    Raises:
        UserError: there are none.
    """
    digest = hashlib.sha256()
    for path in _mask_paths(folder):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def file_masks(rng: np.random.Generator, n: int, masks: Masks) -> Masks:
    """n of the masks (M, 1, S, S), each equally likely and any number of times."""
    return masks[rng.integers(len(masks), size=n)]


def _mask_paths(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name one with masks in PNG, JPEG or WebP")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise UserError(f"{folder}: no masks; put PNG, JPEG or WebP files there, white where the hole is")
    return paths


def _read(path: Path, size: int) -> NDArray[np.uint8]:
    from PIL import Image, ImageOps

    try:
        grey = ImageOps.exif_transpose(Image.open(path)).convert("L")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: not an image that can be read ({error}); save it as PNG, or remove it") from None
    if grey.width != grey.height:
        raise UserError(f"{path}: {grey.width}×{grey.height} pixels; make it square, or remove it")
    if grey.width != size:
        grey = grey.resize((size, size), Image.Resampling.NEAREST)
    hole = (np.asarray(grey) >= 128).astype(np.uint8)
    if not hole.any():
        raise UserError(f"{path}: nothing is white at {size}×{size} pixels; paint the hole white, or remove it")
    if hole.all():
        raise UserError(f"{path}: everything is white at {size}×{size} pixels; leave some black, or remove it")
    return hole
