"""A mask is told from its inverse, a photo, and anything whose values have no one meaning."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from glcic.masks.rules import check_hole, checked_masks, hole_of
from glcic.masks.sampling import stroke_masks
from support.pictures import encoded, smooth

HOLE = np.zeros((20, 30), np.uint8)
HOLE[4:12, 5:25] = 1


@pytest.mark.parametrize("white", [1, 128, 255])
def test_white_is_hole_or_black_if_asked(white: int) -> None:
    levels = HOLE * np.uint8(white)
    assert np.array_equal(hole_of(levels), HOLE)
    assert np.array_equal(hole_of(levels, invert=True), 1 - HOLE)


@pytest.mark.parametrize("area", [0.05, 0.3, 0.6])
def test_antialiased_and_compressed_masks_are_masks(area: float) -> None:
    for mask in stroke_masks(np.random.default_rng(0), 10, 256, (area - 0.01, area))[:, 0] * 255:
        smaller = Image.fromarray(mask).resize((64, 64), Image.Resampling.LANCZOS)
        compressed = Image.open(io.BytesIO(encoded(smaller, "JPEG", quality=50)))
        for image in (smaller, compressed):
            assert abs(hole_of(np.asarray(image)).mean() - area) < 0.05


def test_a_photo_is_no_mask() -> None:
    with pytest.raises(ValueError, match=r"9\d.* % of it is gray, as in a photo; give a mask of black and white"):
        hole_of(smooth()[..., 0])
    assert hole_of(np.full((4, 4), 200, np.uint8)).all()  # one gray is no photo


@pytest.mark.parametrize(
    ("hole", "complaint"),
    [
        (np.zeros((10, 10)), "nothing is white"),
        (np.ones((10, 10)), "everything is white"),
        (np.arange(100) < 85, r"covers 85 % of the image, more than the 60 % .* inverted\? allow_large=True"),
    ],
)
def test_holes_of_no_use_are_refused(hole: np.ndarray, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        check_hole(hole)


def test_large_holes_are_allowed_if_meant() -> None:
    check_hole(np.arange(100) < 60)
    check_hole(np.arange(100) < 85, allow_large=True)
    with pytest.raises(ValueError, match="everything"):
        check_hole(np.ones(9), allow_large=True)


@pytest.mark.parametrize("values", [HOLE, HOLE * np.uint8(255), HOLE > 0, HOLE.astype(float), HOLE.astype(int) * 255])
def test_batches_of_masks_are_understood(values: np.ndarray) -> None:
    found = checked_masks(values[None, None], (1, 1, 20, 30))
    assert found.dtype == np.uint8
    assert np.array_equal(found[0, 0], HOLE)


@pytest.mark.parametrize(
    ("masks", "error", "complaint"),
    [
        (HOLE[None, None] * 2, ValueError, "masks have the value 2; give Booleans, 0 and 1, or 0 and 255"),
        (HOLE[None, None] * 0.5, ValueError, r"the value 0\.5"),
        (HOLE[None, None] * np.nan, ValueError, "the value nan"),
        (np.stack([HOLE, HOLE * np.uint8(255)])[:, None], ValueError, "both 1 and 255"),
        (HOLE[None], ValueError, r"masks of shape \(1, 20, 30\); these images need \(1, 1, 20, 30\)"),
        (HOLE[None, None].astype(str), TypeError, "masks of type <U3"),
        (np.stack([HOLE, 0 * HOLE])[:, None], ValueError, "mask 1: nothing is white"),
        (1 - HOLE[None, None], ValueError, "mask 0: covers 73.3 %"),
    ],
)
def test_batches_without_a_meaning_are_refused(masks: np.ndarray, error: Any, complaint: str) -> None:
    with pytest.raises(error, match=complaint):
        checked_masks(masks, (len(masks), 1, 20, 30))
