"""The fill hides the hole, keeps the rest, and continues the surroundings smoothly."""

import numpy as np
import pytest
import torch
from torch import Tensor

from glcic.masks.geometry import box_masks
from glcic.masks.preprocessing import fill_image
from glcic.masks.sampling import random_box_masks, stroke_masks
from glcic.params import Fill

MEAN = torch.tensor([0.1, 0.5, 0.9])
FILLS: tuple[Fill, ...] = ("mean", "mid_gray", "surroundings", 0.25)


def masks(height: int, width: int) -> Tensor:
    """Strokes, several boxes, and a box that touches the edge."""
    size, rng = max(height, width), np.random.default_rng(0)
    drawn = [
        stroke_masks(rng, 1, size, (0.3, 0.4)),
        random_box_masks(rng, 1, size, (3, 6), 0, (4, 4)),
        box_masks(np.array([[0, 2, size // 2, size // 2]]), size),
    ]
    return torch.from_numpy(np.concatenate(drawn))[..., :height, :width].float()


def noise(height: int, width: int, seed: int = 0) -> Tensor:
    return torch.rand(3, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize(("height", "width"), [(16, 16), (21, 30), (17, 9)])
def test_the_rest_is_kept_and_what_was_hidden_has_no_influence(fill: Fill, height: int, width: int) -> None:
    image, mask = noise(height, width), masks(height, width)
    hole = mask.bool().expand_as(image)
    filled = fill_image(image, mask, fill, MEAN)
    assert torch.equal(filled[~hole], image[~hole])
    assert filled.min() >= 0
    assert filled.max() <= 1
    for hidden in (noise(height, width, seed=1), torch.full_like(image, torch.nan), torch.full_like(image, torch.inf)):
        assert torch.equal(fill_image(torch.where(hole, hidden, image), mask, fill, MEAN), filled)


@pytest.mark.parametrize(
    ("fill", "color"), [("mean", MEAN), ("mid_gray", torch.full((3,), 0.5)), (0.25, torch.full((3,), 0.25))]
)
def test_constant_fills(fill: Fill, color: Tensor) -> None:
    mask = masks(16, 16)
    filled = fill_image(noise(16, 16), mask, fill, MEAN)
    hole = mask.bool().expand_as(filled)
    assert torch.equal(filled[hole], color.view(1, 3, 1, 1).expand_as(filled)[hole])


def test_surroundings_continue_a_flat_color() -> None:
    image = torch.tensor([0.2, 0.3, 0.7]).view(1, 3, 1, 1).expand(3, 3, 37, 37)
    torch.testing.assert_close(fill_image(image, masks(37, 37), "surroundings", MEAN), image, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [32, 40, 45, 64])
def test_surroundings_continue_a_ramp_through_a_hole(size: int) -> None:
    """In the middle half of a ramp from 0 to 1, whose mean would be wrong by up to ¼."""
    across = torch.linspace(0, 1, size).expand(size, size)
    image = torch.stack([across, across.T, (across + across.T) / 2])[None]
    quarter = size // 4
    mask = torch.from_numpy(box_masks(np.array([[quarter, quarter, size // 2, size // 2]]), size)).float()
    assert (fill_image(image, mask, "surroundings", MEAN) - image).abs().max() < 0.04


def test_surroundings_are_smooth() -> None:
    """Between a dark and a bright half, neighbors in the hole differ by far less than the step."""
    image = torch.zeros(1, 3, 64, 64)
    image[..., 32:] = 1
    mask = torch.from_numpy(box_masks(np.array([[16, 16, 32, 32]]), 64)).float()
    row = fill_image(image, mask, "surroundings", MEAN)[0, 0, 32, 16:48]
    steps = row.diff()
    assert steps.min() >= 0
    assert steps.max() < 0.15


def test_several_holes_take_their_own_surroundings() -> None:
    image = torch.zeros(1, 3, 32, 32)
    image[..., 16:] = 1
    mask = torch.from_numpy(box_masks(np.array([[10, 4, 6, 6], [10, 22, 6, 6]]), 32)).amax(dim=0, keepdim=True).float()
    torch.testing.assert_close(fill_image(image, mask, "surroundings", MEAN), image, atol=0.06, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (7, 12), (1, 1), (1, 5)])
def test_where_nothing_is_known_surroundings_are_the_mean(height: int, width: int) -> None:
    image = noise(height, width)
    mask = torch.ones(3, 1, height, width)
    mask[1] = 0
    filled = fill_image(image, mask, "surroundings", MEAN)
    torch.testing.assert_close(filled[0], MEAN.view(3, 1, 1).expand(3, height, width), atol=1e-6, rtol=0)
    assert torch.equal(filled[1], image[1])


def test_surroundings_of_an_image_do_not_depend_on_the_rest_of_the_batch() -> None:
    image, mask = noise(24, 24), masks(24, 24)
    together = fill_image(image, mask, "surroundings", MEAN)
    for i in range(3):
        assert torch.equal(fill_image(image[i : i + 1], mask[i : i + 1], "surroundings", MEAN)[0], together[i])
