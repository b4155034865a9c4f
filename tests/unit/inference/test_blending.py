"""Post-processing: border-safe, blind to what is under the hole, and it takes over the surrounding colors."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from glcic.inference.blending import blend, clone

Images = NDArray[np.uint8]
S = 32


def smooth(seed: int) -> Images:
    image = np.random.default_rng(seed).integers(0, 256, (S, S, 3), dtype=np.uint8)
    blurred = cv2.normalize(cv2.GaussianBlur(image, (0, 0), 3), None, 40, 215, cv2.NORM_MINMAX)  # type: ignore[call-overload]
    return np.ascontiguousarray(blurred.transpose(2, 0, 1)).astype(np.uint8)


def mask_of(*boxes: tuple[int, int, int, int]) -> Images:
    mask = np.zeros((1, S, S), np.uint8)
    for top, left, height, width in boxes:
        mask[:, top : top + height, left : left + width] = 1
    return mask


def stroke() -> Images:
    mask = np.zeros((S, S), np.uint8)
    cv2.line(mask, (3, 30), (28, 2), [1], 9)
    return mask[None]


MASKS = {
    "inside": mask_of((8, 9, 13, 12)),
    "top edge": mask_of((0, 9, 12, 12)),
    "bottom edge": mask_of((20, 9, 12, 13)),
    "left edge": mask_of((9, 0, 12, 12)),
    "right edge": mask_of((9, 19, 12, 13)),
    "corner": mask_of((0, 0, 13, 12)),
    "opposite corner": mask_of((20, 19, 12, 13)),
    "left half": mask_of((0, 0, S, S // 2)),
    "bottom half": mask_of((S // 2, 0, S // 2, S)),
    "all but a column": mask_of((0, 0, S, S - 1)),
    "everything": mask_of((0, 0, S, S)),
    "one pixel": mask_of((10, 11, 1, 1)),
    "corner pixel": mask_of((0, 0, 1, 1)),
    "edge pixel": mask_of((S - 1, 7, 1, 1)),
    "edge row": mask_of((0, 0, 1, S)),
    "two wide": mask_of((4, 4, 20, 2)),
    "three by three": mask_of((4, 4, 3, 3)),
    "two holes": mask_of((0, 0, 9, 10), (20, 22, 12, 10)),
    "pixels in all corners": mask_of((0, 0, 1, 1), (0, S - 1, 1, 1), (S - 1, 0, 1, 1), (S - 1, S - 1, 1, 1)),
    "stroke": stroke(),
}
every_mask = pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS.keys())


def not_everywhere(mask: Images) -> Images:
    return mask_of((0, 0, S, S - 1)) if mask.all() else mask


@every_mask
def test_an_image_cloned_onto_itself_is_itself(mask: Images) -> None:
    image = smooth(0)
    assert np.array_equal(clone(image, image, not_everywhere(mask)), image)


@pytest.mark.parametrize("name", ["inside", "top edge", "opposite corner", "edge row", "two wide", "two holes"])
def test_clone_is_the_smoothest_correction_written_out(name: str) -> None:
    """As dense least squares: a row for each pair of neighbors of which at least one is in the hole."""
    source, destination, mask = smooth(1), smooth(0), MASKS[name]
    number = {place: i for i, place in enumerate(zip(*np.nonzero(mask[0]), strict=True))}
    rows, right = [], []
    for y, x in number:
        for place in ((y - 1, x), (y, x - 1), (y + 1, x), (y, x + 1)):
            if (place in number and place < (y, x)) or min(place) < 0 or max(place) >= S:
                continue  # each pair once; nothing beyond the image
            row = np.zeros(len(number))
            row[number[y, x]] = 1
            if place in number:
                row[number[place]] = -1
            rows.append(row)
            difference = destination[:, y, x].astype(float) - source[:, y, x]
            right.append(np.zeros(3) if place in number else difference)
    correction = np.linalg.lstsq(np.array(rows), np.array(right))[0]
    expected = np.clip(source[:, mask[0] == 1] + correction.T, 0, 255)
    result = clone(source, destination, mask)
    assert np.abs(result[:, mask[0] == 1] - expected).max() <= 0.5 + 1e-6
    assert np.array_equal(result[:, mask[0] == 0], destination[:, mask[0] == 0])


@pytest.mark.parametrize("name", ["inside", "top edge", "left edge", "opposite corner", "left half", "stroke"])
def test_a_mark_stays_where_it_is(name: str) -> None:
    mask = MASKS[name]
    y, x = (int(np.median(places)) for places in np.nonzero(mask[0]))  # away from the hole's edge
    image = smooth(0)
    marked = image.copy()
    marked[:, y, x] ^= 127
    assert mask[0, y - 1 : y + 2, x - 1 : x + 2].all()
    assert np.array_equal(clone(marked, image, mask), marked)


@every_mask
def test_outside_the_hole_it_is_exactly_the_image(mask: Images) -> None:
    images, completed = smooth(0)[None], smooth(1)[None]
    before = images.copy(), completed.copy()
    blended = blend(completed, images, mask[None])
    outside = np.broadcast_to(mask[None] == 0, images.shape)
    assert blended.dtype == np.uint8
    assert np.array_equal(blended[outside], images[outside])
    assert not np.array_equal(blended[~outside], images[~outside])
    assert np.array_equal(images, before[0])
    assert np.array_equal(completed, before[1])


@every_mask
def test_the_true_pixels_do_not_leak(mask: Images) -> None:
    """Nor does what the completion holds outside the hole."""
    images, completed = smooth(0)[None], smooth(1)[None]
    expected = blend(completed, images, mask[None])
    for value in (0, 255):
        hidden = np.where(mask == 1, np.uint8(value), images)
        other = np.where(mask == 1, completed, np.uint8(value))
        assert np.array_equal(blend(completed, hidden, mask[None]), expected)
        assert np.array_equal(blend(other, images, mask[None]), expected)


@pytest.mark.parametrize("offset", [-30, 25])
@every_mask
def test_a_color_cast_is_removed(mask: Images, offset: int) -> None:
    """Whatever the image, the blended completion does not depend on it; but for an image that is all hole."""
    images, completed, masks = smooth(0)[None], smooth(1)[None], not_everywhere(mask)[None]
    cast = (completed + np.array([offset, -offset, offset // 2])[:, None, None]).astype(np.uint8)
    assert np.array_equal(cast[0, 0].astype(int) - completed[0, 0], np.full((S, S), offset))  # nothing wraps around
    assert np.abs(blend(cast, images, masks).astype(int) - blend(completed, images, masks)).max() <= 1


@every_mask
def test_in_a_flat_image_nothing_of_a_flat_completion_is_left(mask: Images) -> None:
    """But the few levels by which OpenCV's Telea misses a flat color."""
    flat, masks = np.full((1, 3, S, S), 120, np.uint8), not_everywhere(mask)[None]
    assert np.abs(blend(flat + 90, flat, masks).astype(int) - 120).max() <= 6


def test_details_of_the_completion_are_kept() -> None:
    """Away from the hole's edge the Laplacian is the completion's, but for rounding to 8 bits."""
    completed, images, mask = smooth(1)[None], smooth(0)[None], MASKS["inside"][None]
    completed[..., 14, 15] += 40
    blended = blend(completed, images, mask)

    def laplacian(image: Images) -> NDArray[np.int64]:
        x = image[..., 8:21, 9:21].astype(np.int64)
        return 4 * x[..., 1:-1, 1:-1] - x[..., :-2, 1:-1] - x[..., 2:, 1:-1] - x[..., 1:-1, :-2] - x[..., 1:-1, 2:]

    assert np.abs(laplacian(completed)).max() >= 100
    assert np.abs(laplacian(blended) - laplacian(completed)).max() <= 4
    assert np.abs(blended.astype(int) - np.where(mask == 1, completed, images)).max() > 10


def test_where_nothing_is_visible_it_is_the_completion() -> None:
    images, completed = smooth(0)[None], smooth(1)[None]
    assert np.array_equal(blend(completed, images, MASKS["everything"][None]), completed)


def test_each_image_for_itself_and_with_any_number_of_threads() -> None:
    masks = np.stack(list(MASKS.values()))
    images, completed = (np.stack([smooth(seed + i) for i in range(len(masks))]) for seed in (0, 100))
    together = blend(completed, images, masks)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1 if threads > 1 else 2)
    alone = [blend(*(array[i : i + 1] for array in (completed, images, masks)))[0] for i in range(len(masks))]
    cv2.setNumThreads(threads)
    assert np.array_equal(together, np.stack(alone))
