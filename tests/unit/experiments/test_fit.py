"""Completions prove by the pixels outside the hole whose image they are."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from glcic.data.packed import PackedImages
from glcic.errors import UserError
from glcic.evaluation.mask_sets import MaskSet, draw
from glcic.experiments.fit import check_fit, difference
from support.packed import write_packed

Images = NDArray[np.uint8]
SIDE, NUMBER = 32, 10


def pictures(number: int, seed: int = 0) -> Images:
    """Colored blobs, as different from each other as photos."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (number, 5, 5, 3), np.uint8)
    large = [Image.fromarray(one).resize((SIDE, SIDE), Image.Resampling.BICUBIC) for one in small]
    return np.stack([np.asarray(one).transpose(2, 0, 1) for one in large])


@pytest.fixture
def packed(tmp_path: Path) -> PackedImages:
    folder = tmp_path / "images"
    folder.mkdir()
    write_packed(folder, pictures(NUMBER), ["test"] * NUMBER)
    return PackedImages(folder, "test")


@pytest.fixture
def mask_set() -> MaskSet:
    return draw("box", 0, NUMBER, SIDE)


def completed(packed: PackedImages, mask_set: MaskSet) -> Images:
    """The images with something else in the hole."""
    return np.where(mask_set.masks == 1, np.uint8(90), packed.read(np.arange(NUMBER)))


def check(images: Images, packed: PackedImages, mask_set: MaskSet) -> None:
    check_fit(images, packed, mask_set.masks, [Path(f"{item:06d}.png") for item in range(NUMBER)])


def jpeg(images: Images, quality: int) -> Images:
    decoded = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image.transpose(1, 2, 0)).save(file, "JPEG", quality=quality)
        decoded.append(np.asarray(Image.open(file)).transpose(2, 0, 1))
    return np.stack(decoded)


def noisy(images: Images) -> Images:
    noise = np.random.default_rng(1).normal(0, 6, images.shape)
    return np.clip(images + noise, 0, 255).astype(np.uint8)


def halved(images: Images) -> Images:
    """Half the resolution, as of a system that encodes and decodes the whole image."""
    rows = [Image.fromarray(image.transpose(1, 2, 0)) for image in images]
    small = [row.resize((SIDE // 2, SIDE // 2), Image.Resampling.BOX) for row in rows]
    return np.stack([np.asarray(one.resize((SIDE, SIDE))).transpose(2, 0, 1) for one in small])


@pytest.mark.parametrize(
    "change",
    [lambda images: images, lambda images: jpeg(images, 75), noisy, halved, lambda images: images ^ np.uint8(1)],
    ids=["unchanged", "JPEG", "noise", "half the resolution", "one level"],
)
def test_own_images_pass(packed: PackedImages, mask_set: MaskSet, change: Callable[[Images], Images]) -> None:
    check(change(completed(packed, mask_set)), packed, mask_set)


def shifted(images: Images) -> Images:
    return np.roll(images, -1, axis=0)


def exchanged(images: Images) -> Images:
    """Two files far from each other, and all others right."""
    return images[[0, 1, 7, 3, 4, 5, 6, 2, 8, 9]]


def moved(images: Images) -> Images:
    return np.pad(images, ((0, 0), (0, 0), (0, 3), (2, 0)), mode="edge")[..., 3:, :SIDE]  # 3 up, 2 right


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            shifted,
            r"000000\.png: .* differs from test image 0 by \d\d.*; it fits test image 1 \(\d+\.\d\): .* by one\?",
        ),
        (exchanged, r"000002\.png: .*; it fits test image 7 \(\d+\.\d\): are the files in another order\?"),
        (lambda images: images[..., ::-1], "mirrored left-right"),
        (lambda images: images[..., ::-1, :], "upside down"),
        (lambda images: images[..., ::-1, ::-1], "turned by 180 degrees"),
        (lambda images: images.swapaxes(-2, -1), "rows and columns swapped"),
        (lambda images: images[:, ::-1], "red and blue swapped .*: save it as RGB"),
        (lambda images: 255 - images, "inverted values"),
        (moved, "moved up by 3 px and right by 2 px"),
    ],
)
@pytest.mark.parametrize("stored", [lambda images: images, lambda images: jpeg(images, 90)], ids=["PNG", "JPEG"])
def test_what_is_wrong_with_all_files_is_recognized(
    packed: PackedImages,
    mask_set: MaskSet,
    change: Callable[[Images], Images],
    said: str,
    stored: Callable[[Images], Images],
) -> None:
    with pytest.raises(UserError, match=said):
        check(stored(change(completed(packed, mask_set))), packed, mask_set)


def test_other_pictures_are_refused_with_the_number(packed: PackedImages, mask_set: MaskSet) -> None:
    others = completed(packed, mask_set)
    others[4] = pictures(1, seed=9)[0]
    own = difference(others[4:5], packed.read(np.array([4])), mask_set.masks[4:5])[0]
    with pytest.raises(UserError, match=rf"000004\.png: .* test image 4 by {own:.1f} of 255 .* no other test image"):
        check(others, packed, mask_set)


def test_one_mirrored_file_among_many_is_found(packed: PackedImages, mask_set: MaskSet) -> None:
    images = jpeg(completed(packed, mask_set), 75)
    images[6] = images[6, :, :, ::-1]
    with pytest.raises(UserError, match=r"000006\.png: .*mirrored"):
        check(images, packed, mask_set)


def test_difference_is_that_outside_the_hole() -> None:
    """Of four pixels one is in the hole; 3 and 6 levels in one channel of two others: 9 / (3 channels × 3 pixels)."""
    truth = np.full((1, 3, 2, 2), 100, np.uint8)
    image = truth.copy()
    image[0, 0] = [[103, 94], [100, 255]]
    mask = np.zeros((1, 1, 2, 2), np.uint8)
    mask[..., 1, 1] = 1
    assert difference(image, truth, mask).tolist() == [1.0]
    assert difference(image, truth, np.ones_like(mask)).tolist() == [0.0]
