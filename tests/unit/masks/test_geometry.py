"""Masks stay inside their bounds; dilation and composite touch what they should."""

import numpy as np
import pytest
import torch

from glcic.masks.geometry import (
    bounding_boxes,
    box_masks,
    centered_corners,
    composite,
    dilate,
    random_boxes,
    random_corners,
)


@pytest.mark.parametrize(
    ("image_size", "size_range", "margin"), [(16, (3, 8), 0), (64, (24, 32), 4), (32, (30, 30), 1)]
)
def test_random_boxes_reach_their_bounds_and_no_further(
    image_size: int, size_range: tuple[int, int], margin: int
) -> None:
    boxes = random_boxes(np.random.default_rng(0), 5000, image_size, size_range, margin)
    corner, extent = boxes[:, :2], boxes[:, 2:]
    assert (extent.min(), extent.max()) == size_range
    assert corner.min() == margin
    assert (corner + extent).max() == image_size - margin
    if size_range[0] < size_range[1]:
        assert (extent[:, 0] != extent[:, 1]).any()  # height and width are independent


def test_windows_lie_inside_the_image_and_cover_the_hole() -> None:
    boxes = random_boxes(np.random.default_rng(0), 2000, 64, (5, 32), 0)
    corner = centered_corners(boxes, 64, 32)
    assert corner.min() == 0
    assert corner.max() == 32
    assert (corner <= boxes[:, :2]).all()
    assert (corner + 32 >= boxes[:, :2] + boxes[:, 2:]).all()
    far_from_edges = ((corner > 0) & (corner < 32)).all(axis=1)
    center = boxes[far_from_edges, :2] + boxes[far_from_edges, 2:] / 2
    assert np.abs(corner[far_from_edges] + 16 - center).max() <= 0.5


def test_real_windows_go_everywhere() -> None:
    corners = random_corners(np.random.default_rng(0), 3000, 40, 16)
    assert (corners.min(), corners.max()) == (0, 24)


def test_masks_are_one_in_the_box() -> None:
    mask = box_masks(np.array([[1, 2, 3, 4], [0, 0, 8, 8]]), 8)
    assert mask.dtype == np.uint8
    expected = np.zeros((8, 8))
    expected[1:4, 2:6] = 1
    assert np.array_equal(mask[0, 0], expected)
    assert mask[1].all()


def test_bounding_boxes_of_boxes_are_the_boxes() -> None:
    boxes = random_boxes(np.random.default_rng(0), 200, 16, (1, 16), 0)
    assert np.array_equal(bounding_boxes(box_masks(boxes, 16)), boxes)


def test_bounding_boxes_enclose_scattered_pixels() -> None:
    masks = (np.random.default_rng(0).random((300, 1, 9, 9)) < 0.03).astype(np.uint8)
    masks = masks[masks.any(axis=(1, 2, 3))]
    for mask, box in zip(masks, bounding_boxes(masks), strict=True):
        place = np.argwhere(mask[0])
        assert box.tolist() == [*place.min(axis=0), *(np.ptp(place, axis=0) + 1)]


def test_dilation_grows_a_square_that_the_edge_cuts_off() -> None:
    mask = torch.zeros(2, 1, 7, 8)
    mask[0, 0, 3, 4] = 1
    mask[1, 0, 0, 7] = 1
    expected = torch.zeros(2, 1, 7, 8)
    expected[0, 0, 1:6, 2:7] = 1
    expected[1, 0, :3, 5:] = 1
    assert torch.equal(dilate(mask, 2), expected)
    assert torch.equal(dilate(mask, 0), mask)


def test_composite_is_the_output_in_the_hole_and_the_image_elsewhere() -> None:
    image, output = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
    mask = torch.from_numpy(box_masks(np.array([[1, 2, 3, 4], [0, 0, 2, 8]]), 8)).float()
    hole = mask.bool().expand(-1, 3, -1, -1)
    completed = composite(output, image, mask)
    assert torch.equal(completed[~hole], image[~hole])
    assert torch.equal(completed[hole], output[hole])
