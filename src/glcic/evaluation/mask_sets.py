"""Mask sets of an evaluation: drawn once from a seed, stored with their hash, and shared by all methods."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glcic import paths
from glcic.errors import UserError
from glcic.evaluation.definitions import PLACES
from glcic.files import atomic
from glcic.masks.files import read_masks
from glcic.masks.geometry import Boxes, Masks, bounding_boxes, box_masks, halves, random_boxes, touching
from glcic.masks.sampling import center_masks, stroke_masks
from glcic.params import Evaluate


@dataclass(frozen=True)
class MaskSet:
    """One mask for every image of a split.

    Attributes:
        name: name of the mask set, a key of `definitions.MASK_SETS`.
        masks: masks (N, 1, S, S) as uint8, 1 in the hole and 0 elsewhere.
    """

    name: str
    masks: Masks

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the shape, as the text "N 1 S S", and of the masks in C order, one byte (0 or 1) per pixel."""
        shape = " ".join(map(str, self.masks.shape))
        return hashlib.sha256(shape.encode() + np.ascontiguousarray(self.masks).tobytes()).hexdigest()

    @cached_property
    def boxes(self) -> Boxes:
        """Bounding boxes of the holes, (N, 4): top, left, height, width, in pixels."""
        return bounding_boxes(self.masks)

    @cached_property
    def area_ratios(self) -> NDArray[np.float64]:
        """Share of each image that the hole covers, (N,), in [0, 1]."""
        return self.masks.mean(axis=(1, 2, 3))

    @cached_property
    def margins(self) -> NDArray[np.int64]:
        """Distance in pixels, (N,), from each hole's bounding box to the nearest edge of the image; 0 if it touches."""
        size = self.masks.shape[-1]
        return np.concatenate([self.boxes[:, :2], size - self.boxes[:, :2] - self.boxes[:, 2:]], axis=1).min(axis=1)


def draw(name: str, seed: int, n: int, size: int, files: Masks | None = None) -> MaskSet:
    """Draw a mask set. The result depends only on the arguments.

    Args:
        name: name of the mask set.
        seed: seed of the random masks.
        n: number of masks.
        size: side S of the masks, in pixels.
        files: masks (M, 1, S, S) as uint8, for the mask set `files`.
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
        masks = box_masks(touching(rng, mmagic_boxes(rng, n, size), size), size)
    elif name == "half":
        masks = box_masks(halves(size)[np.arange(n) % 4], size)
    else:
        assert files is not None, name
        masks = files[np.arange(n) % len(files)]
    return MaskSet(name, masks)


def draw_all(section: Evaluate, n: int, size: int) -> list[MaskSet]:
    """Draw all mask sets of an evaluation, for a split of n images of side `size`.

    Raises:
        UserError: the user's masks are missing or do not match their SHA-256.
    """
    files = None
    if (given := section.mask_folder) is not None:
        files = read_masks(paths.given(given.folder), given.sha256, "evaluate.mask_folder.sha256", size)
    return [draw(name, section.mask_seed, n, size, files) for name in section.mask_sets]


def shown(sets: Sequence[MaskSet], rows: int) -> tuple[NDArray[np.int64], Masks]:
    """Choose images for a figure, evenly spread over the split, with masks of each mask set in turn.

    Args:
        sets: mask sets for the same split.
        rows: number of images; fewer are chosen if the split is smaller.

    Returns:
        The images' indices within the split, (rows,), and their masks, (rows, 1, S, S).
    """
    n = len(sets[0].masks)
    items = np.linspace(0, n - 1, min(rows, n)).astype(np.int64)
    return items, np.stack([sets[row % len(sets)].masks[item] for row, item in enumerate(items)])


def in_white(images: NDArray[np.uint8], masks: Masks) -> NDArray[np.uint8]:
    """Paint holes white.

    Args:
        images: images (N, 3, S, S) or one image (3, S, S).
        masks: masks (N, 1, S, S) or one mask (1, S, S), 1 in the hole.

    Returns:
        Images of the same shape as `images`, uint8.
    """
    return np.where(masks == 1, np.uint8(255), images)


def mmagic_boxes(rng: np.random.Generator, n: int, size: int) -> Boxes:
    """Draw the boxes of the mask set `box`, (n, 4): MMagic's protocol, scaled from 256 pixels to S.

    Sides are uniform in [⌈108·S/256⌉, ⌊128·S/256⌋], at least ⌈20·S/256⌉ pixels from the edge.
    """
    smallest, largest, margin = -(-108 * size // 256), 128 * size // 256, -(-20 * size // 256)
    return random_boxes(rng, n, size, (smallest, largest), margin)


def manifest(splits: Mapping[str, Iterable[MaskSet]], seed: int, images_sha256: str) -> pd.DataFrame:
    """Table of the mask sets, one row per split and mask set: hashes, and hole areas in percent of the image."""
    rows = [
        {
            "split": split,
            "mask_set": mask_set.name,
            "seed": seed,
            "size": mask_set.masks.shape[-1],
            "images": len(mask_set.masks),
            "smallest": round(100 * mask_set.area_ratios.min(), 4),
            "mean": round(100 * mask_set.area_ratios.mean(), 4),
            "largest": round(100 * mask_set.area_ratios.max(), 4),
            "sha256": mask_set.sha256,
            "images_sha256": images_sha256,
        }
        for split, sets in splits.items()
        for mask_set in sets
    ]
    return pd.DataFrame(rows)


def store(path: Path, splits: Mapping[str, Iterable[MaskSet]]) -> None:
    """Write all masks to an .npz file with the arrays `<split>/<mask set>`: (N, 1, S, S/8), one bit per pixel.

    The file's bytes are reproducible; those of `numpy.savez` differ between releases of Python.
    """
    with atomic(path) as temporary, ZipFile(temporary, "w") as archive:
        for split, sets in splits.items():
            for mask_set in sets:
                with archive.open(ZipInfo(f"{split}/{mask_set.name}.npy"), "w") as file:
                    np.lib.format.write_array(file, np.packbits(mask_set.masks, axis=-1), allow_pickle=False)


def stored(path: Path, split: str, name: str, size: int) -> MaskSet:
    """Read a mask set that `store` wrote.

    Args:
        path: the .npz file.
        split: name of the split.
        name: name of the mask set.
        size: side S of the masks, in pixels.

    Raises:
        UserError: the file is missing or has no such mask set.
    """
    try:
        with np.load(path) as arrays:
            return MaskSet(name, np.unpackbits(arrays[f"{split}/{name}"], axis=-1, count=size))
    except (FileNotFoundError, KeyError):
        raise UserError(f"{path}: has no mask set {name} of {split}; run `dvc repro` or `dvc pull` first") from None
