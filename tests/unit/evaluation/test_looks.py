"""Scores of sets of completions: against other implementations, and against what they must say of a blur."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import ndimage, stats

from glcic.evaluation import looks
from glcic.evaluation.looks import Features, compare, features, groups_of, joined, laplacian_pyramid, places
from glcic.masks.geometry import Masks, Pixels
from glcic.masks.sampling import stroke_masks

N, SIZE, PATCHES = 12, 36, 5


@pytest.fixture(scope="module")
def real() -> Pixels:
    """Noise that is smoother in some images, so that images differ."""
    rng = np.random.default_rng(0)
    noise = rng.uniform(0, 255, (N, 3, SIZE, SIZE))
    return np.stack([ndimage.gaussian_filter(image, (0, k / 8, k / 8)) for k, image in enumerate(noise)]).astype(
        np.uint8
    )


@pytest.fixture(scope="module")
def masks() -> Masks:
    return stroke_masks(np.random.default_rng(1), N, SIZE, (0.2, 0.5))


def completed(real: Pixels, masks: Masks, sigma: float) -> Pixels:
    """The real images, blurred in the hole."""
    blurred = ndimage.gaussian_filter(real.astype(float), (0, 0, sigma, sigma))
    return np.where(masks == 1, blurred, real).astype(np.uint8)


def measured(images: Pixels, real: Pixels, masks: Masks) -> Features:
    return features(images, masks, places(real, masks, PATCHES))


def pyramid(image: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Laplacian pyramid of one channel (S, S), by convolutions of scipy; levels of 36 and 18 pixels."""
    kernel = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
    smaller = ndimage.convolve(image, kernel, mode="mirror")[::2, ::2]
    wider = np.zeros_like(image)
    wider[::2, ::2] = smaller
    return [image - 4 * ndimage.convolve(wider, kernel, mode="mirror"), smaller]


def test_pyramid_is_that_of_scipy(real: Pixels) -> None:
    levels = list(laplacian_pyramid(real[:3].astype(np.float32)))
    assert [level.shape[-1] for level in levels] == [36, 18]
    for n, channel in product(range(3), range(3)):
        for level, expected in zip(levels, pyramid(real[n, channel].astype(float)), strict=True):
            np.testing.assert_allclose(level[n, channel], expected, atol=1e-3)


@pytest.mark.parametrize(("size", "sides"), [(16, [16]), (31, [31, 16]), (64, [64, 32, 16]), (90, [90, 45, 23])])
def test_levels_end_before_they_are_too_small(size: int, sides: list[int]) -> None:
    assert [level.shape[-1] for level in laplacian_pyramid(np.ones((1, 3, size, size), np.float32))] == sides


def slow_swd(own: Pixels, real: Pixels, where: looks.Places, kept: NDArray[np.bool_]) -> float:
    """Sliced Wasserstein distance × 1000 from its definition: patch by patch, and scipy's distance in one dimension."""
    direction = np.random.default_rng(0).standard_normal((147, looks.DIRECTIONS))
    direction = direction / np.sqrt((direction**2).sum(axis=0))
    distances = []
    for level in range(2):
        found = []
        for images in (own, real):
            patches = [
                [
                    pyramid(images[n, channel].astype(float))[level][row : row + 7, column : column + 7]
                    for channel in range(3)
                ]
                for n in range(N)
                for row, column in where[level][n]
            ]
            found.append(np.array(patches))
        deviation = found[1].std(axis=(0, 2, 3))
        some = np.repeat(kept, PATCHES)
        a, b = ((patches / deviation[:, None, None])[some].reshape(-1, 147) @ direction for patches in found)
        distances.append(np.mean([stats.wasserstein_distance(a[:, k], b[:, k]) for k in range(looks.DIRECTIONS)]))
    return float(1000 * np.mean(distances))


def test_swd_is_that_of_a_second_implementation_with_all_images_and_without_a_group(real: Pixels, masks: Masks) -> None:
    own, where = completed(real, masks, 1.0), places(real, masks, PATCHES)
    groups = np.arange(N) % 3 + 1
    table = compare(measured(own, real, masks), measured(real, real, masks), groups)
    assert table["left_out"].tolist() == [0, 1, 2, 3]
    assert table["images"].tolist() == [12, 8, 8, 8]
    expected = [slow_swd(own, real, where, groups != left_out) for left_out in range(4)]
    np.testing.assert_allclose(table["swd"], expected, rtol=1e-4)
    assert len({round(value, 3) for value in expected}) == 4


def slow_seam(images: Pixels, masks: Masks) -> list[float]:
    found = []
    for image, (hole,) in zip(images.astype(int), masks, strict=True):
        jumps = []
        for row, column, (down, right) in product(range(SIZE), range(SIZE), [(1, 0), (0, 1)]):
            if max(row + down, column + right) < SIZE and hole[row, column] != hole[row + down, column + right]:
                jumps.append(np.abs(image[:, row, column] - image[:, row + down, column + right]).mean())
        found.append(float(np.mean(jumps)))
    return found


def slow_gradient(images: Pixels, masks: Masks) -> list[float]:
    found = []
    for image, (hole,) in zip(images.astype(int), masks, strict=True):
        magnitudes = []
        for channel, row, column in product(range(3), range(SIZE), range(SIZE)):
            if hole[row, column]:
                here = image[channel, row, column]
                gx = image[channel, row, column + 1] - here if column + 1 < SIZE and hole[row, column + 1] else 0
                gy = image[channel, row + 1, column] - here if row + 1 < SIZE and hole[row + 1, column] else 0
                magnitudes.append(np.hypot(gx, gy))
        found.append(float(np.mean(magnitudes)))
    return found


def test_seam_and_gradient_are_ratios_of_what_loops_find(real: Pixels, masks: Masks) -> None:
    own = completed(real, masks, 0.7)
    table = compare(measured(own, real, masks), measured(real, real, masks), np.arange(N) + 1)
    for column, slow in (("seam", slow_seam), ("gradient", slow_gradient)):
        ours, theirs = (np.array(slow(images, masks)) for images in (own, real))
        assert table[column][0] == pytest.approx(ours.sum() / theirs.sum(), rel=1e-5)
        assert table[column][3] == pytest.approx(np.delete(ours, 2).sum() / np.delete(theirs, 2).sum(), rel=1e-5)


def test_real_images_are_perfect_and_a_stronger_blur_is_worse(real: Pixels, masks: Masks) -> None:
    whole = measured(real, real, masks)
    blurs = [measured(completed(real, masks, sigma), real, masks) for sigma in (0.001, 0.7, 2.0)]
    scores = pd.concat([compare(blur, whole, np.ones(N, np.int64)) for blur in blurs])
    assert scores[["swd", "seam", "gradient"]].iloc[0].tolist() == [0, 1, 1]
    assert scores["swd"].is_monotonic_increasing
    assert scores["gradient"].is_monotonic_decreasing
    assert scores["swd"].is_unique
    assert scores["gradient"].is_unique


def test_holes_in_a_gray_that_differs_from_the_surroundings_show_a_seam() -> None:
    real = np.full((1, 3, 16, 16), 100, np.uint8)
    real[:, :, ::2] = 110
    mask = np.zeros((1, 1, 16, 16), np.uint8)
    mask[:, :, 4:12, 4:12] = 1
    own = np.where(mask == 1, np.uint8(160), real)
    found = compare(measured(own, real, mask), measured(real, real, mask), np.ones(1, np.int64)).loc[0]
    assert found["seam"] > 10
    assert found["gradient"] == 0


def test_places_are_in_the_hole_inside_the_image_and_those_of_the_image_alone(real: Pixels, masks: Masks) -> None:
    together = places(real, masks, 40)
    for level, side in enumerate((36, 18)):
        assert together[level].shape == (N, 40, 2)
        assert together[level].min() >= 0
        assert together[level].max() <= side - 7
    inner = (together[0] > 0) & (together[0] < 29)  # those at the image's edge have moved
    for n in range(N):
        for row, column in together[0][n][inner[n].all(axis=1)]:
            assert masks[n, 0, row + 3, column + 3] == 1
        alone = places(real[n : n + 1], masks[n : n + 1], 40)
        assert all(np.array_equal(a[0], b[n]) for a, b in zip(alone, together, strict=True))


def test_parts_joined_are_the_whole(real: Pixels, masks: Masks) -> None:
    whole = measured(real, real, masks)
    parts = joined([measured(real[part], real[part], masks[part]) for part in (slice(0, 5), slice(5, N))])
    assert np.array_equal(whole.patches, parts.patches)
    assert np.array_equal(whole.jump, parts.jump)
    assert np.array_equal(whole.gradient, parts.gradient)


def test_a_person_is_in_one_group_and_there_are_not_too_many_groups() -> None:
    index = pd.DataFrame({"row": range(90), "identity": [k // 3 for k in range(90)]})
    groups = groups_of(index)
    assert all(len(set(groups[index["identity"] == person])) == 1 for person in range(30))
    assert set(groups) == set(range(1, looks.GROUPS + 1))
    assert set(groups_of(index[:9])) == {1, 2, 3}


def test_large_sets_have_fewer_patches_of_each_image() -> None:
    assert [looks.patches_per_image(n) for n in (0, 1, 660, 2000, 20_000)] == [16, 16, 16, 8, 1]
