"""The holes of an evaluation: drawn once from their own seed, stored with their hash, the same for every method."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glcic.errors import UserError
from glcic.evaluation.definitions import PLACES
from glcic.files import atomic
from glcic.masks.files import read_masks
from glcic.masks.geometry import Boxes, Masks, bounding_boxes, box_masks, random_boxes
from glcic.masks.sampling import center_masks, stroke_masks
from glcic.params import Evaluate


@dataclass(frozen=True)
class MaskSet:
    """One hole for every image of a split.

    Attributes:
        masks: (N, 1, S, S), 1 in the hole.
    """

    name: str
    masks: Masks

    @cached_property
    def sha256(self) -> str:
        """Of the shape, as the text "N 1 S S", and the masks' bytes in C order, one byte (0 or 1) per pixel."""
        shape = " ".join(map(str, self.masks.shape))
        return hashlib.sha256(shape.encode() + np.ascontiguousarray(self.masks).tobytes()).hexdigest()

    @cached_property
    def boxes(self) -> Boxes:
        """The holes' bounding boxes: (N, 4), top, left, height, width."""
        return bounding_boxes(self.masks)

    @cached_property
    def ratios(self) -> NDArray[np.float64]:
        """Share of each image that is hole: (N,)."""
        return self.masks.mean(axis=(1, 2, 3))

    @cached_property
    def borders(self) -> NDArray[np.int64]:
        """Pixels between a hole's bounding box and the nearest edge of the image: (N,); 0 where it touches."""
        size = self.masks.shape[-1]
        return np.concatenate([self.boxes[:, :2], size - self.boxes[:, :2] - self.boxes[:, 2:]], axis=1).min(axis=1)


def draw(name: str, seed: int, n: int, size: int, files: Masks | None = None) -> MaskSet:
    """The holes of n images of side `size`, by the name of the mask set; a function of its arguments alone.

    Args:
        files: (M, 1, S, S), for the mask set `files`.
    """
    rng = np.random.default_rng([seed, *name.encode()])
    if name == "center":
        masks = center_masks(rng, n, size, size // 2)
    elif name == "box":
        masks = box_masks(mmagic_boxes(rng, n, size), size)
    elif name == "fixed":
        corners = np.array(PLACES)[np.arange(n) % len(PLACES)] * size // 128
        masks = box_masks(np.concatenate([corners, np.full((n, 2), size // 4)], axis=1), size)
    elif name.startswith("strokes_"):
        low, high = (int(share) / 100 for share in name.split("_")[1:])
        masks = stroke_masks(rng, n, size, (low, high))
    elif name == "border":
        masks = box_masks(_touching(rng, mmagic_boxes(rng, n, size), size), size)
    elif name == "half":
        masks = box_masks(_halves(n, size), size)
    else:
        assert files is not None, name
        masks = files[np.arange(n) % len(files)]
    return MaskSet(name, masks)


def draw_all(section: Evaluate, n: int, size: int) -> list[MaskSet]:
    """The mask sets of an evaluation for the n images of a split.

    Raises:
        UserError: the user's masks are not there, or not those that were meant.
    """
    files = None
    if (given := section.masks) is not None:
        files = read_masks(Path(given.folder), given.sha256, "evaluate.masks.sha256", size)
    return [draw(name, section.mask_seed, n, size, files) for name in section.mask_sets]


def shown(sets: Sequence[MaskSet], rows: int) -> tuple[NDArray[np.int64], Masks]:
    """A few images for a figure, spread over the split; the mask sets take turns.

    Returns:
        Their numbers within the split, (rows,) or fewer, and a hole for each, (rows, 1, S, S).
    """
    n = len(sets[0].masks)
    items = np.linspace(0, n - 1, min(rows, n)).astype(np.int64)
    return items, np.stack([sets[row % len(sets)].masks[item] for row, item in enumerate(items)])


def in_white(images: NDArray[np.uint8], masks: Masks) -> NDArray[np.uint8]:
    """Images (N, 3, S, S), or one without N, with their holes in white."""
    return np.where(masks == 1, np.uint8(255), images)


def mmagic_boxes(rng: np.random.Generator, n: int, size: int) -> Boxes:
    """The mask set `box`: MMagic's protocol scaled from 256 to S.

    Sides uniform in [⌈108·S/256⌉, ⌊128·S/256⌋], at least ⌈20·S/256⌉ from the edge.
    """
    smallest, largest, border = -(-108 * size // 256), 128 * size // 256, -(-20 * size // 256)
    return random_boxes(rng, n, size, (smallest, largest), border)


def _touching(rng: np.random.Generator, boxes: Boxes, size: int) -> Boxes:
    """The boxes, each pushed to one of the four edges."""
    side = rng.integers(4, size=len(boxes))
    axis, far = side % 2, side // 2 == 1
    row = np.arange(len(boxes))
    boxes[row, axis] = np.where(far, size - boxes[row, 2 + axis], 0)
    return boxes


def _halves(n: int, size: int) -> Boxes:
    half = size // 2
    halves = [(0, 0, size, half), (0, size - half, size, half), (0, 0, half, size), (size - half, 0, half, size)]
    return np.array(halves)[np.arange(n) % len(halves)]


def manifest(splits: Mapping[str, Iterable[MaskSet]], seed: int, faces_sha256: str) -> pd.DataFrame:
    """One row per split and mask set: which holes they are, on which faces; ratios in per cent of the image."""
    rows = [
        {
            "split": split,
            "mask_set": holes.name,
            "seed": seed,
            "size": holes.masks.shape[-1],
            "images": len(holes.masks),
            "smallest": round(100 * holes.ratios.min(), 4),
            "mean": round(100 * holes.ratios.mean(), 4),
            "largest": round(100 * holes.ratios.max(), 4),
            "sha256": holes.sha256,
            "faces_sha256": faces_sha256,
        }
        for split, sets in splits.items()
        for holes in sets
    ]
    return pd.DataFrame(rows)


def store(path: Path, splits: Mapping[str, Iterable[MaskSet]]) -> None:
    """Write all masks, a bit per pixel, as an .npz with the arrays `<split>/<mask set>`: (N, 1, S, S/8).

    The same masks, the same bytes: the headers that `numpy.savez` asks for differ between releases of Python.
    """
    with atomic(path) as temporary, ZipFile(temporary, "w") as archive:
        for split, sets in splits.items():
            for holes in sets:
                with archive.open(ZipInfo(f"{split}/{holes.name}.npy"), "w") as file:
                    np.lib.format.write_array(file, np.packbits(holes.masks, axis=-1), allow_pickle=False)


def stored(path: Path, split: str, name: str, size: int) -> MaskSet:
    """A mask set that `store` wrote.

    Raises:
        UserError: the file is missing or has no such set.
    """
    try:
        with np.load(path) as arrays:
            return MaskSet(name, np.unpackbits(arrays[f"{split}/{name}"], axis=-1, count=size))
    except (FileNotFoundError, KeyError):
        raise UserError(f"{path}: has no mask set {name} of {split}; run `dvc repro` or `dvc pull` first") from None
