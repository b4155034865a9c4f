"""Classical completions: what they change, and what they must not see."""

import warnings
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.restoration import inpaint_biharmonic

from glcic.inference.classical import biharmonic, hide, inpaint, mean_fill
from glcic.masks.geometry import box_masks

Images = NDArray[np.uint8]
S = 24


def noise(*shape: int, seed: int = 0) -> Images:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def smooth(n: int, size: int = S) -> Images:
    images = [cv2.GaussianBlur(image.transpose(1, 2, 0), (0, 0), 3) for image in noise(n, 3, size, size, seed=5)]
    return np.stack(images).transpose(0, 3, 1, 2) * 2 - 64  # wraps around, here and there


# Boxes inside, at edges, in corners, of one pixel, of half the image, of all but one column, of everything.
MASKS = box_masks(
    np.array(
        [
            [4, 5, 6, 7],
            [0, 8, 9, 9],
            [0, 0, 10, 10],
            [14, 14, 10, 10],
            [7, 7, 1, 1],
            [0, 0, 1, 1],
            [0, 12, S, 12],
            [0, 0, S, S - 1],
            [0, 0, S, S],
        ]
    ),
    S,
)
MASKS[0, 0, 20:23, 1:20] = 1  # and a second hole


@pytest.fixture
def baseline(request: pytest.FixtureRequest) -> Callable[[Images, Images], Images]:
    if request.param == "mean_fill":
        return lambda images, masks: mean_fill(images, masks, [0.2, 0.4, 0.6])
    if request.param == "biharmonic":
        return biharmonic
    return lambda images, masks: inpaint(images, masks, request.param)


baselines = pytest.mark.parametrize("baseline", ["mean_fill", "telea", "navier_stokes", "biharmonic"], indirect=True)


@baselines
def test_baselines_change_the_hole_only(baseline: Callable[[Images, Images], Images]) -> None:
    images = noise(len(MASKS), 3, S, S)
    before = images.copy()
    completed = baseline(images, MASKS)
    assert completed.dtype == np.uint8
    assert completed.shape == images.shape
    hole = np.broadcast_to(MASKS == 1, images.shape)
    assert np.array_equal(completed[~hole], images[~hole])
    assert not np.array_equal(completed[hole], images[hole])
    assert np.array_equal(images, before)


@baselines
@pytest.mark.parametrize("hidden", [0, 255, "noise"])
def test_what_is_under_the_hole_does_not_matter(
    baseline: Callable[[Images, Images], Images], hidden: int | str
) -> None:
    """OpenCV alone fails this: it reads pixels of the hole next to the image's edge."""
    images = smooth(len(MASKS))
    other = noise(*images.shape, seed=3) if hidden == "noise" else np.full_like(images, hidden)
    changed = np.where(MASKS == 1, other, images)
    assert np.array_equal(baseline(images, MASKS), baseline(changed, MASKS))


@pytest.mark.parametrize(
    ("baseline", "error"), [("telea", 5), ("navier_stokes", 2), ("biharmonic", 0)], indirect=["baseline"]
)
def test_a_flat_color_is_continued(baseline: Callable[[Images, Images], Images], error: int) -> None:
    """OpenCV's methods round at every pixel, and Telea's error grows on the way into the hole."""
    images = np.full((len(MASKS) - 1, 3, S, S), 120, np.uint8)
    assert np.abs(baseline(images, MASKS[:-1]).astype(int) - 120).max() <= error


def test_mean_fill_is_the_mean_pixel() -> None:
    completed = mean_fill(noise(1, 3, S, S), MASKS[:1], [0.2, 0.4, 0.6])
    assert completed[0, :, 4, 5].tolist() == [51, 102, 153]


def test_hidden_pixels_become_the_mean_of_the_visible_ones() -> None:
    images, masks = np.zeros((2, 3, 2, 2), np.uint8), np.zeros((2, 1, 2, 2), np.uint8)
    images[0, 0], images[0, 1], masks[0, 0] = [[9, 9], [100, 103]], [[9, 9], [7, 7]], [[1, 1], [0, 0]]
    masks[1] = 1  # nothing to see
    hidden = hide(images, masks)
    assert hidden[0, :, 0, 0].tolist() == [102, 7, 0]
    assert hidden[0, 0, 1].tolist() == [100, 103]
    assert np.array_equal(hidden[1], np.full((3, 2, 2), 128))


def test_biharmonic_is_skimages() -> None:
    images = smooth(len(MASKS))
    completed = biharmonic(images, MASKS)
    for image, mask, ours in zip(images[:-1], MASKS[:-1], completed[:-1], strict=True):
        reference = 255 * inpaint_biharmonic(image / 255, mask[0], channel_axis=0)  # in [0, 1], as skimage documents
        assert np.abs(ours - reference).max() <= 0.5 + 1e-6
    assert np.array_equal(completed[-1], np.full((3, S, S), 128))


def test_biharmonic_continues_a_slope_that_telea_flattens() -> None:
    slope = np.add.outer(4 * np.arange(S), 5 * np.arange(S)).astype(np.uint8)
    images = np.stack([slope, slope.T, 255 - slope])[None]
    masks = box_masks(np.array([[7, 8, 10, 9]]), S)
    assert np.abs(biharmonic(images, masks).astype(int) - images).max() <= 1
    assert np.abs(inpaint(images, masks, "telea").astype(int) - images).max() > 1


def test_one_visible_pixel_is_enough() -> None:
    images, masks = noise(1, 3, 16, 16), np.ones((1, 1, 16, 16), np.uint8)
    masks[0, 0, 3, 4] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        completed = biharmonic(images, masks)
    assert np.array_equal(completed, np.broadcast_to(images[:, :, 3:4, 4:5], images.shape))
