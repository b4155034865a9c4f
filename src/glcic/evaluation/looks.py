"""How completions look next to the real images, whatever was there: patches, gradients and the edge of the hole.

Scores of single images reward a blur, which is never far off. These compare the holes of many completions with the same
holes of the real images, as sets:

swd: sliced Wasserstein distance between patches (Rabin et al., 2011), over the levels of a Laplacian pyramid, as in
Karras et al., Progressive Growing of GANs, 2018, section 5. 0 for equal sets; a blur lacks the patches of fine levels.
seam: color jump across the edge of the hole over that of the real images; 1 is invisible, below is too smooth.
gradient: mean gradient inside the hole over that of the real images; 1 is as sharp, below is blurred, above is noisy.

A single image has no such score. For intervals, `compare` computes each one again without the images of some people.
All operations but one product of matrices, which the scorer computes in one thread, are elementwise, so that the number
of threads changes no bit.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from glcic.evaluation.tables import clusters_of
from glcic.masks.geometry import Masks, Pixels

PATCH = 7  # pixels, side of a patch, as in Karras et al.
COARSEST = 16  # pixels, least side of a pyramid's last level, as there
DIRECTIONS = 128  # on which patches are projected; there 512
PATCHES = 16  # of each image at each level, at most
ALL_PATCHES = 2**14  # of all images at each level, about, where there are many images
GROUPS = 24  # of people, at most, that are left out in turn
BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)

Floats = NDArray[np.float64]
Places = list[NDArray[np.int64]]  # by level, (N, patches, 2): row and column of each patch's first pixel


@dataclass(frozen=True)
class Features:
    """What is measured in N images.

    Attributes:
        patches: (N, levels, patches, 3 · 49), float32, of the levels of a pyramid of 8-bit values.
        jump: (N,), mean absolute difference of a pixel in the hole and its neighbor outside, over all such pairs and
            channels.
        gradient: (N,), mean √(gx² + gy²) over the hole's pixels and channels; gx and gy are differences to the next
            pixel, 0 where that is outside the hole.
    """

    patches: NDArray[np.float32]
    jump: Floats
    gradient: Floats

    def __getitem__(self, images: NDArray[np.bool_]) -> "Features":
        return Features(self.patches[images], self.jump[images], self.gradient[images])


def joined(parts: Sequence[Features]) -> Features:
    """Features of several parts of the images, one after the other."""
    return Features(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("patches", "jump", "gradient"))
    )


def patches_per_image(images: int) -> int:
    """How many patches of each image are compared at each level: fewer of more images."""
    return max(1, min(PATCHES, ALL_PATCHES // max(1, images)))


def places(images: Pixels, masks: Masks, patches: int) -> Places:
    """Draw where patches are compared: at random pixels of the hole, inside the image.

    An image's places depend on nothing but its pixels and its hole, so they are the same for every method.

    Args:
        images: real images (N, 3, S, S), uint8.
        masks: masks (N, 1, S, S), uint8, 1 in the hole.
        patches: number of patches at each level.
    """
    seeds = [
        [zlib.crc32(image.tobytes()), zlib.crc32(mask.tobytes())] for image, mask in zip(images, masks, strict=True)
    ]
    found: Places = []
    holes = masks[:, 0]
    for level, side in enumerate(_sides(masks.shape[-1])):
        corners = np.empty((len(images), patches, 2), np.int64)
        for seed, hole, corner in zip(seeds, holes, corners, strict=True):
            pixels = np.argwhere(hole)
            corner[:] = pixels[np.random.default_rng([*seed, level]).integers(len(pixels), size=patches)] - PATCH // 2
        found.append(np.clip(corners, 0, side - PATCH))
        even = np.pad(holes, ((0, 0), (0, side % 2), (0, side % 2)))
        holes = even.reshape(len(even), -(-side // 2), 2, -(-side // 2), 2).max(axis=(2, 4))
    return found


def features(images: Pixels, masks: Masks, where: Places) -> Features:
    """Measure images, real or completed.

    Args:
        images: images (N, 3, S, S), uint8.
        masks: masks (N, 1, S, S), uint8, 1 in the hole.
        where: the places of the patches.
    """
    values = images.astype(np.float32)
    taken = []
    for level, corners in zip(laplacian_pyramid(values), where, strict=True):
        windows = sliding_window_view(level, (PATCH, PATCH), axis=(2, 3))  # (N, 3, rows, columns, 7, 7)
        row, column = np.moveaxis(corners, 2, 0)
        cut = windows[np.arange(len(images))[:, None], :, row, column]  # (N, patches, 3, 7, 7)
        taken.append(cut.reshape(*cut.shape[:2], 3 * PATCH**2))
    return Features(np.stack(taken, axis=1), _jump(values, masks), _gradient(values, masks))


def laplacian_pyramid(images: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Levels of the Laplacian pyramid of images (N, 3, S, S), the finest first; the last is what remains.

    Burt and Adelson, 1983: a level is the image less its next smaller one, scaled up; filters are 5×5 and binomial.
    """
    *finer, _ = _sides(images.shape[-1])
    for _ in finer:
        smaller = _smooth(images)[..., ::2, ::2]
        wider = np.zeros_like(images)
        wider[..., ::2, ::2] = smaller
        yield images - 4 * _smooth(wider)
        images = smaller
    yield images


def _sides(size: int) -> list[int]:
    """Sides of a pyramid's levels."""
    sides = [size]
    while -(-sides[-1] // 2) >= COARSEST:
        sides.append(-(-sides[-1] // 2))
    return sides


def _smooth(images: NDArray[np.float32]) -> NDArray[np.float32]:
    for axis in (2, 3):
        width = [(0, 0)] * 4
        width[axis] = (2, 2)
        padded = np.moveaxis(np.pad(images, width, mode="reflect"), axis, -1)  # … c b | a b c …
        n = padded.shape[-1] - 4
        smoothed = sum(np.float32(weight) * padded[..., k : k + n] for k, weight in enumerate(BINOMIAL))
        images = np.moveaxis(np.asarray(smoothed), -1, axis)
    return images


def _jump(values: NDArray[np.float32], masks: Masks) -> Floats:
    total, pairs = np.zeros(len(values)), np.zeros(len(values))
    for axis in (2, 3):
        across = np.diff(masks.astype(np.int8), axis=axis) != 0
        total += (np.abs(np.diff(values, axis=axis)) * across).sum(axis=(1, 2, 3), dtype=np.float64)
        pairs += 3 * across.sum(axis=(1, 2, 3))
    return total / np.maximum(pairs, 1)


def _gradient(values: NDArray[np.float32], masks: Masks) -> Floats:
    squares = np.zeros_like(values)
    squares[..., :-1] += np.square(np.diff(values, axis=3)) * (masks[..., :-1] & masks[..., 1:])
    squares[:, :, :-1] += np.square(np.diff(values, axis=2)) * (masks[:, :, :-1] & masks[:, :, 1:])
    total = np.sqrt(squares).sum(axis=(1, 2, 3), dtype=np.float64)
    return np.asarray(total / (3 * masks.sum(axis=(1, 2, 3))))


def groups_of(index: pd.DataFrame) -> NDArray[np.int64]:
    """Group of each image, (N,), from 1: the images of a person are in one group, and of many people several.

    Args:
        index: a row per image, with the columns row and identity.
    """
    return clusters_of(index) % GROUPS + 1


def compare(own: Features, real: Features, groups: NDArray[np.int64]) -> pd.DataFrame:
    """Compare completions with the real images.

    Args:
        own: features of the completions.
        real: features of the real images, at the same places.
        groups: the group of each image, (N,), from 1.

    Returns:
        A row of all images (left_out is 0), then a row for each group that is left out; columns left_out, images, swd,
        seam, gradient. A ratio to 0 is NaN.
    """
    names = [0, *np.unique(groups)] if len(np.unique(groups)) > 1 else [0]
    kept = [groups != name for name in names]
    rows = {
        "left_out": names,
        "images": [int(of.sum()) for of in kept],
        "swd": _swd(own.patches, real.patches, groups, names),
        "seam": [_ratio(own.jump[of], real.jump[of]) for of in kept],
        "gradient": [_ratio(own.gradient[of], real.gradient[of]) for of in kept],
    }
    return pd.DataFrame(rows)


def _ratio(own: Floats, real: Floats) -> float:
    total = float(real.sum())
    return float(own.sum()) / total if total else np.nan


def _swd(
    own: NDArray[np.float32], real: NDArray[np.float32], groups: NDArray[np.int64], left_out: Sequence[int]
) -> Floats:
    """Sliced Wasserstein distance × 1000 of all images, and without each group; mean over the levels.

    At each level, colors are divided by their standard deviation in the real patches. Karras et al. divide each set by
    its own, which would hide that a blur has a small one.
    """
    n, levels, patches, length = real.shape
    direction = np.random.default_rng(0).standard_normal((length, DIRECTIONS))
    direction /= np.linalg.norm(direction, axis=0)
    labels = np.repeat(groups, patches)
    found = np.zeros(len(left_out))
    for level in range(levels):
        deviation = real[:, level].reshape(n * patches, 3, -1).std(axis=(0, 2), dtype=np.float64)
        scaled = direction / np.repeat(np.where(deviation > 0, deviation, 1), length // 3)[:, None]
        ordered = [_sorted(side[:, level].reshape(n * patches, length), labels, scaled) for side in (own, real)]
        for k, group in enumerate(left_out):
            first, second = (values[kept != group] for values, kept in ordered)
            found[k] += np.abs(first - second).mean()
    return 1000 * found / levels


def _sorted(
    patches: NDArray[np.float32], labels: NDArray[np.int64], direction: Floats
) -> tuple[Floats, NDArray[np.int64]]:
    """Projections (directions, patches), each row in ascending order, and the group of each."""
    projected = (torch.from_numpy(direction.T.copy()) @ torch.from_numpy(patches.astype(np.float64)).T).numpy()
    order = projected.argsort(axis=1)
    return np.take_along_axis(projected, order, axis=1), labels[order]
