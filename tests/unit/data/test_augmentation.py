"""Each augmentation does what its name says, reproducibly and for every image apart."""

import numpy as np
import pytest
import torch
from torch import Tensor

from glcic.data.augmentation import apply, draw
from glcic.params import Augmentation

OFF = Augmentation(flip=0.0, crop=[1.0, 1.0], brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
ALL = Augmentation(flip=0.5, crop=[0.5, 1.0], brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1)


def only(**values: float | list[float]) -> Augmentation:
    return Augmentation.model_validate({**OFF.model_dump(), **values})


def noise(n: int = 8, size: int = 16) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=generator)


def augmented(images: Tensor, section: Augmentation, seed: int = 0) -> Tensor:
    return apply(images, draw(np.random.default_rng(seed), len(images), section))


def test_off_changes_nothing() -> None:
    assert torch.equal(augmented(noise(), OFF), noise())


def test_same_seed_same_images() -> None:
    assert torch.equal(augmented(noise(), ALL), augmented(noise(), ALL))
    assert not torch.equal(augmented(noise(), ALL), augmented(noise(), ALL, seed=1))


@pytest.mark.parametrize("ranks", [2, 3])
def test_slices_agree_with_the_whole_batch(ranks: int) -> None:
    images = noise()
    draws = draw(np.random.default_rng(0), len(images), ALL)
    for rank in range(ranks):
        mine = slice(rank, None, ranks)
        assert torch.equal(apply(images[mine], draws, mine), apply(images, draws)[mine])


@pytest.mark.parametrize("section", [only(flip=0.5), ALL])
def test_flip_is_drawn_first(section: Augmentation) -> None:
    expected = np.random.default_rng(0).random(8) < 0.5
    np.testing.assert_array_equal(draw(np.random.default_rng(0), 8, section).flip, expected)


@pytest.mark.parametrize("flip", [0.0, 0.5])
def test_nothing_is_drawn_for_what_is_off(flip: float) -> None:
    rng, reference = np.random.default_rng(0), np.random.default_rng(0)
    draw(rng, 8, only(flip=flip))
    reference.random(8)
    assert rng.random() == reference.random()


def test_flip_reverses_pixels() -> None:
    images = noise()
    flipped = np.random.default_rng(0).random(8) < 0.5
    assert 0 < flipped.sum() < 8
    expected = np.where(flipped[:, None, None, None], images.numpy()[..., ::-1], images.numpy())
    np.testing.assert_array_equal(augmented(images, only(flip=0.5)).numpy(), expected)


def test_crop_enlarges_a_square_of_the_drawn_area() -> None:
    """Over a ramp of 2 per pixel, a square of side ½ leaves one of about 1, starting at the place drawn."""
    ramp = (2 * torch.arange(64, dtype=torch.uint8)).expand(4, 3, 64, 64)
    section = only(crop=[0.25, 0.25])
    draws = draw(np.random.default_rng(0), 4, section)
    np.testing.assert_allclose(draws.share, 0.25)
    result = apply(ramp, draws)
    assert result.shape == ramp.shape
    for image, place in zip(result, draws.place, strict=True):
        left = int(place[1] * 33)
        expected = 2 * left + torch.arange(64) - 0.5
        np.testing.assert_allclose(image[:, :, 2:-2].float(), expected[2:-2].expand(3, 64, 60), atol=1)


def test_crop_stays_inside_and_reaches_every_side() -> None:
    draws = draw(np.random.default_rng(0), 2000, only(crop=[0.3, 0.9]))
    assert 0.3 <= draws.share.min() < 0.31
    assert 0.89 < draws.share.max() <= 0.9
    assert 0 <= draws.place.min() < 0.01
    assert 0.99 < draws.place.max() < 1


def test_crop_of_the_whole_area_is_the_image() -> None:
    draws = draw(np.random.default_rng(0), 8, only(crop=[0.5, 1.0]))
    draws.share[:] = 1
    assert torch.equal(apply(noise(), draws), noise())


def test_brightness_scales() -> None:
    draws = draw(np.random.default_rng(0), 8, only(brightness=0.4))
    expected = (noise().double() * torch.from_numpy(draws.brightness).view(-1, 1, 1, 1)).clamp(0, 255)
    assert 0.6 <= draws.brightness.min() < 0.9
    assert 1.1 < draws.brightness.max() <= 1.4
    np.testing.assert_allclose(apply(noise(), draws).double(), expected, atol=1)


def test_contrast_scales_the_distance_from_the_mean_gray() -> None:
    images = noise() // 2 + 64  # leaves room, so that nothing saturates
    draws = draw(np.random.default_rng(0), 8, only(contrast=0.4))
    weights = torch.tensor([0.2989, 0.587, 0.114]).view(1, 3, 1, 1)
    gray = (images * weights).sum(dim=1, keepdim=True).mean(dim=(2, 3), keepdim=True)
    expected = gray + torch.from_numpy(draws.contrast).view(-1, 1, 1, 1) * (images - gray)
    np.testing.assert_allclose(apply(images, draws).double(), expected, atol=1.6)


def test_saturation_scales_the_distance_from_each_pixels_gray() -> None:
    images = noise() // 2 + 64
    draws = draw(np.random.default_rng(0), 8, only(saturation=0.4))
    gray = (images * torch.tensor([0.2989, 0.587, 0.114]).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    expected = gray + torch.from_numpy(draws.saturation).view(-1, 1, 1, 1) * (images - gray)
    np.testing.assert_allclose(apply(images, draws).double(), expected, atol=1.6)


def test_hue_turns_the_color_wheel() -> None:
    """A third of a turn makes red green; gray has no hue."""
    draws = draw(np.random.default_rng(0), 2, only(hue=0.5))
    assert (abs(draws.hue) <= 0.5).all()
    draws.hue[:] = 1 / 3
    images = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    images[0, 0] = 200
    images[1] = 100
    expected = torch.zeros_like(images)
    expected[0, 1] = 200
    expected[1] = 100
    np.testing.assert_allclose(apply(images, draws).float(), expected.float(), atol=2)


def test_images_are_left_alone() -> None:
    images = noise()
    augmented(images, ALL)
    assert torch.equal(images, noise())
