"""Which training image is nearest: the same one however it is searched, checked against a search without tricks."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from glcic.data.packed import PackedImages
from glcic.inference.nearest import (
    FLOAT_TERMS,
    INT_TERMS,
    Product,
    float_product,
    int_product,
    nearest_training_images,
)
from glcic.masks.geometry import box_masks
from support.packed import write_packed

Images = NDArray[np.uint8]
S = 24
K = 3 * S * S  # terms of the longer product
VNNI = torch.cpu._is_vnni_supported()
products = pytest.mark.parametrize(
    "product", [pytest.param(int_product, marks=pytest.mark.skipif(not VNNI, reason="needs VNNI")), float_product]
)

# Boxes inside, at edges, in corners, of one pixel, of half the image, of all but one column, of everything, of nothing.
BOXES = [[4, 5, 6, 7], [0, 8, 9, 9], [0, 0, 10, 10], [7, 7, 1, 1], [0, 12, S, 12], [0, 0, S, S - 1], [0, 0, S, S]]
MASKS = np.concatenate([box_masks(np.array(BOXES), S), np.zeros((1, 1, S, S), np.uint8)])
MASKS[0, 0, 20:23, 1:20] = 1  # and a second hole


def noise(*shape: int, seed: int = 0) -> Images:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def split(folder: Path, images: Images) -> PackedImages:
    """Packed images of which every second one is of the training split."""
    packed = np.repeat(images, 2, axis=0)
    write_packed(folder, packed, ["val" if row % 2 else "train" for row in range(len(packed))])
    return PackedImages(folder, "train")


def by_hand(train: Images, images: Images, masks: Images) -> list[int]:
    difference = (train[None].astype(np.int64) - images[:, None]) * (masks[:, None] == 0)
    return np.square(difference).sum(axis=(2, 3, 4)).argmin(axis=1).tolist()


@products
@pytest.mark.parametrize(("training_block", "block"), [(1, 1), (2, 3), (3, 4), (7, 9), (2048, 512)])
def test_whatever_the_blocks_and_the_product(tmp_path: Path, product: Product, training_block: int, block: int) -> None:
    train, images = noise(7, 3, S, S, seed=1), noise(len(MASKS), 3, S, S, seed=2)
    assert FLOAT_TERMS < K  # so there are several products to add up
    sets = [MASKS, MASKS[::-1].copy()]
    found = nearest_training_images(
        split(tmp_path, train),
        images.__getitem__,
        sets,
        training_block=training_block,
        block=block,
        product=product,
    )
    assert found.tolist() == [by_hand(train, images, masks) for masks in sets]
    assert len(set(found.flatten().tolist())) > 2


@products
@pytest.mark.parametrize("pair", [(0, 255), (255, 255), (0, 0), (127, 128)])
def test_extreme_pixels(tmp_path: Path, product: Product, pair: tuple[int, int]) -> None:
    """The largest sums there are, with differences of a single level in a single pixel, the last."""
    train = np.full((4, 3, 64, 64), pair[0], np.uint8)
    images = np.full((2, 3, 64, 64), pair[1], np.uint8)
    for i, level in enumerate((3, 2, 1, 2)):
        train[i, 2, -1, -1] = abs(pair[1] - level)
    masks = np.zeros((2, 1, 64, 64), np.uint8)
    masks[1, 0, -1, -1] = 1  # what differs is under the hole: all are equally near
    found = nearest_training_images(split(tmp_path, train), images.__getitem__, [masks], product=product)
    assert found.tolist() == [[2, 0]]


@pytest.mark.skipif(not VNNI, reason="needs VNNI")
def test_bytes_are_not_multiplied_where_the_library_is_kept_from_it() -> None:
    """On a processor with VNNI, oneDNN as for AVX2 gives other sums, which no error tells."""
    code = "from glcic.inference.nearest import bytes_are_exact; print(bytes_are_exact())"
    for limit, exact in ((None, True), ("AVX2", False)):
        environment = os.environ | ({"ONEDNN_MAX_CPU_ISA": limit} if limit else {})
        printed = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        assert printed.stdout.strip() == str(exact)


@pytest.mark.skipif(not VNNI, reason="needs VNNI")
def test_both_products_are_the_same_and_exact() -> None:
    a, b = (noise(5, INT_TERMS + 33, seed=seed).view(np.int8) for seed in (1, 2))
    a[0] = b[0] = -128  # the largest sum
    b[1] = 127
    of_ints = int_product(torch.from_numpy(a), torch.from_numpy(b))
    assert of_ints.dtype == torch.int64
    assert np.array_equal(of_ints.numpy(), a.astype(np.int64) @ b.T.astype(np.int64))
    assert torch.equal(of_ints, float_product(torch.from_numpy(a), torch.from_numpy(b)))


@pytest.mark.parametrize("num_threads", [1, 2])
def test_threads_are_as_before_afterwards(tmp_path: Path, num_threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3 - num_threads)
    try:
        train = noise(3, 3, S, S)
        found = nearest_training_images(split(tmp_path, train), train.__getitem__, [MASKS[:3]], num_threads=num_threads)
        assert found.tolist() == [[0, 1, 2]]
        assert torch.get_num_threads() == 3 - num_threads
    finally:
        torch.set_num_threads(before)


def test_an_image_is_nearest_to_itself(tmp_path: Path) -> None:
    train = noise(6, 3, S, S, seed=1)
    order = np.array([4, 0, 5, 2])
    hidden = np.where(MASKS[:4] == 1, 255 - train[order], train[order])  # what is under the hole does not matter
    found = nearest_training_images(split(tmp_path, train), hidden.__getitem__, [MASKS[:4]], training_block=4)
    assert found.tolist() == [order.tolist()]


@products
@pytest.mark.parametrize("training_block", [1, 2, 5])
def test_of_equally_near_images_the_first(tmp_path: Path, product: Product, training_block: int) -> None:
    train = np.repeat(noise(1, 3, S, S), 5, axis=0)
    train[0] ^= 255
    train[2:, :, 4:10, 5:12] ^= 255  # differs under the first hole alone
    images = train[[4, 4]]
    masks = MASKS[[0, 6]]  # of the second image, nothing is visible: all are equally near
    found = nearest_training_images(
        split(tmp_path, train), images.__getitem__, [masks], training_block=training_block, product=product
    )
    assert found.tolist() == [[1, 0]]


@products
def test_distances_are_exact_where_32_bits_are_not(tmp_path: Path, product: Product) -> None:
    """Two images whose squared distances, 3 · 96² · 255² apart from the last, differ by 1."""
    size = 96
    train = np.full((2, 3, size, size), 255, np.uint8)
    train[0, 0, -1, -1] = 254  # one level nearer to black, in one of 27,648 values
    train[0, 0, 0, 0], train[1, 0, 0, 0] = 23, 5
    train[1, 0, 0, 1], train[0, 0, 0, 1] = 0, 0
    black, mask = np.zeros((1, 3, size, size), np.uint8), np.zeros((1, 1, size, size), np.uint8)
    squares = np.square(train.astype(np.int64)).sum(axis=(1, 2, 3))
    assert squares[0] != squares[1]
    assert np.float32(squares[0]) == np.float32(squares[1])
    found = nearest_training_images(split(tmp_path, train), black.__getitem__, [mask], product=product)
    assert found.tolist() == [[int(squares.argmin())]]
