"""Packed images: one flipped byte in any of the files is noticed."""

from pathlib import Path

import numpy as np
import pytest

from glcic.data.packed import PackedImages
from glcic.errors import UserError
from support.packed import write_packed

NAMES = ["images.npy", "index.csv", "summary.json", "SHA256SUMS"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_packed(tmp_path, np.zeros((2, 3, 8, 8), np.uint8), ["train", "test"])
    return tmp_path


def test_what_is_intact_is_read(folder: Path) -> None:
    packed = PackedImages(folder, "train")
    packed.check()
    assert packed.read(np.array([0])).shape == (1, 3, 8, 8)
    assert packed.mean_pixel == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("name", NAMES)
def test_one_flipped_byte_is_noticed(folder: Path, name: str) -> None:
    data = (folder / name).read_bytes()
    for place in range(0, len(data), max(1, len(data) // 40)):
        if name == "SHA256SUMS" and not data.index(b"index.csv") - 66 <= place < data.index(b"index.csv") + 9:
            continue  # of files that are not read here
        (folder / name).write_bytes(data[:place] + bytes([data[place] ^ 2]) + data[place + 1 :])
        with pytest.raises(UserError, match=r"damaged: its SHA-256 is not that in .*; make it again with `dvc repro"):
            PackedImages(folder, "train").check()
    (folder / name).write_bytes(data)
    PackedImages(folder, "train").check()


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(UserError, match=rf"{name}: no such file; run `dvc repro crop` first"):
        PackedImages(folder, "train")
