"""Whose image is it? Completions show by their pixels outside the hole which test image they belong to.

Everybody returns these pixels nearly unchanged. A completion that differs there from its own image, or fits another one
better, belongs to another file: it would be scored against the wrong truth.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glcic.data.packed import PackedImages
from glcic.errors import UserError
from glcic.masks.geometry import Masks, Pixels

# In levels of 255, mean absolute differences outside the hole; docs/evaluation.md has the measured ones.
EXACT = 1.0  # up to here nothing else is looked for; composites have 0
LIMIT = 30.0  # more than a loss of detail causes: half the resolution 25 at most, another face 75 on average
# An alternative explains a completion if it leaves less than this part of the difference, and no more than JPEG does.
BETTER, SURE = 0.5, 8.0

SUSPECTS = 64  # completions that are looked into: what went wrong with all files shows in the worst
MOVED = 4  # pixels; the largest displacement that is looked for
AT_ONCE = 64  # images compared at a time, which limits memory
LEAST = 0.1  # part of an image by which it is told from others
GRID = 32  # pixels along a side at which other test images are compared at first

# How an image may have been changed, what undoes it, and what to do.
Undo = Callable[[NDArray[np.int16]], NDArray[np.int16]]
CHANGES: tuple[tuple[str, Undo, str], ...] = (
    ("mirrored left-right", lambda images: images[..., ::-1], "mirror it back"),
    ("upside down", lambda images: images[..., ::-1, :], "turn it back"),
    ("turned by 180 degrees", lambda images: images[..., ::-1, ::-1], "turn it back"),
    ("with rows and columns swapped", lambda images: images.swapaxes(-2, -1), "swap them back"),
    ("with red and blue swapped", lambda images: images[:, ::-1], "save it as RGB, not BGR"),
    ("with inverted values", lambda images: 255 - images, "subtract its values from 255"),
)


@dataclass(frozen=True)
class Explanation:
    """What fits completions better than their own images, unchanged.

    Attributes:
        differences: mean absolute difference outside the hole that is left, (suspects,), in levels of 255.
        said: end of a message for each suspect: what it looks like and what to do.
    """

    differences: NDArray[np.float64]
    said: Sequence[str]


def check_fit(completed: Pixels, packed: PackedImages, masks: Masks, files: Sequence[Path]) -> None:
    """Check that every completion belongs to its own test image.

    Args:
        completed: completions as they were read, (N, 3, S, S), uint8.
        packed: the N test images.
        masks: their masks, (N, 1, S, S), 1 in the hole.
        files: the completions' files, for messages.

    Raises:
        UserError: one differs too much from its image outside the hole, or something else fits clearly better.
    """
    own = np.concatenate([difference(completed[part], packed.read(part), masks[part]) for part in _parts(len(packed))])
    worst = np.argsort(-own, kind="stable")[:SUSPECTS]
    suspects = np.sort(worst[own[worst] > EXACT])
    if not len(suspects):
        return
    found = list(_explanations(completed[suspects].astype(np.int16), packed, masks, suspects))
    left = np.stack([explanation.differences for explanation in found])
    best = left.argmin(axis=0)
    for place, item in enumerate(suspects):
        if left[best[place], place] < min(BETTER * own[item], SURE):
            raise UserError(f"{_said(files, item, own)}; it fits {found[best[place]].said[place]}")
    item = suspects[own[suspects].argmax()]
    if own[item] > LIMIT:
        raise UserError(
            f"{_said(files, item, own)}, more than {LIMIT:.0f}, and fits no other test image: complete the exported "
            "inputs, in their crop and size, and leave the pixels outside the hole as they are"
        )


def difference(
    completed: NDArray[np.generic], truth: NDArray[np.generic], masks: NDArray[np.generic]
) -> NDArray[np.float64]:
    """Compute the mean absolute difference outside the holes, (N,), in levels of 255; 0 where the hole is everything.

    Args:
        completed: images (N, 3, H, W), in [0, 255].
        truth: images (N, 3, H, W) or one image, in [0, 255].
        masks: masks (N, 1, H, W) or one mask, 1 in the hole.
    """
    outside = masks == 0
    levels = np.abs(completed.astype(np.int16) - truth.astype(np.int16)) * outside
    total = levels.sum(axis=(-3, -2, -1), dtype=np.float64)
    return np.asarray(total / np.maximum(completed.shape[-3] * outside.sum(axis=(-3, -2, -1)), 1))


def _said(files: Sequence[Path], item: int, own: NDArray[np.float64]) -> str:
    return f"{files[item]}: outside the hole it differs from test image {item} by {own[item]:.1f} of 255 on average"


def _parts(n: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, n, AT_ONCE):
        yield np.arange(start, min(start + AT_ONCE, n))


def _explanations(
    completed: NDArray[np.int16], packed: PackedImages, masks: Masks, suspects: NDArray[np.int64]
) -> Iterator[Explanation]:
    """Yield what each suspect may be instead: a changed image, a moved one, or another test image.

    Args:
        completed: completions of the suspects, (K, 3, S, S).
        packed: all test images.
        masks: masks of all test images, (N, 1, S, S).
        suspects: the suspects' numbers, (K,).
    """
    truth, own = packed.read(suspects), masks[suspects]
    for change, undo, remedy in CHANGES:
        said = f"this image {change} ({{:.1f}}): {remedy}"
        yield _explanation(difference(undo(completed), truth, own), said)
    for down, right in product(range(-MOVED, MOVED + 1), repeat=2):
        if (down, right) != (0, 0):
            yield _moved(completed, truth, own, down, right)
    yield _other(completed, packed, masks, suspects)


def _explanation(left: NDArray[np.float64], said: str) -> Explanation:
    return Explanation(left, [said.format(value) for value in left])


def _moved(completed: NDArray[np.int16], truth: Pixels, masks: Masks, down: int, right: int) -> Explanation:
    """Compare completions that were moved down and to the right (or up and left) where they overlap their images."""

    def overlap(images: NDArray[np.generic], by: tuple[int, int]) -> NDArray[np.generic]:
        height, width = images.shape[-2:]
        (top, bottom), (left, end) = ((max(0, d), min(0, d)) for d in by)
        return images[..., top : height + bottom, left : width + end]

    back = (-down, -right)
    left = difference(overlap(completed, (down, right)), overlap(truth, back), overlap(masks, back))
    ways = [f"{way[by > 0]} by {abs(by)} px" for by, way in ((down, ("up", "down")), (right, ("left", "right"))) if by]
    return _explanation(left, f"this image moved {' and '.join(ways)} ({{:.1f}}): move it back")


def _other(
    completed: NDArray[np.int16], packed: PackedImages, masks: Masks, suspects: NDArray[np.int64]
) -> Explanation:
    """Find the other test image that fits best: first at the pixels of a coarse grid, then exactly.

    A completion of another image has that image's hole, so pixels in either hole are left out.
    """
    step = max(1, packed.image_size // GRID)
    grid = np.s_[..., ::step, ::step]
    coarse = np.empty((len(suspects), len(packed)))
    for part in _parts(len(packed)):
        truth, holes = packed.read(part)[grid], masks[part][grid]
        for place, item in enumerate(suspects):
            image, hole = completed[place][grid], masks[item][grid]
            coarse[place, part] = difference(image[None], truth, _in_either(hole[None], holes))
    coarse[np.arange(len(suspects)), suspects] = np.inf
    best = coarse.argmin(axis=1)
    left = difference(completed, packed.read(best), _in_either(masks[suspects], masks[best]))
    left[best == suspects] = np.inf  # there is no other
    reasons = [
        "shifted by one" if abs(other - own) == 1 else "in another order"
        for own, other in zip(suspects, best, strict=True)
    ]
    said = [
        f"test image {other} ({value:.1f}): are the files {reason}?"
        for other, value, reason in zip(best, left, reasons, strict=True)
    ]
    return Explanation(left, said)


def _in_either(own: Masks, other: Masks) -> Masks:
    """Unite masks, (N, 1, H, W), where that leaves enough of the image to tell it by; elsewhere take the first."""
    both = np.maximum(own, other)
    enough = both.mean(axis=(1, 2, 3), keepdims=True) <= 1 - LEAST
    return np.where(enough, both, own)
