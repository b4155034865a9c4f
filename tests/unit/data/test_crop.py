"""Cropping: what is cut, what is skipped, and what is left when it fails."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from glcic.data.crop import crop_all, crop_image
from glcic.data.packed import PackedImages
from glcic.data.sources import celeba_layout as layout
from glcic.errors import UserError


def encoded(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def source(folder: Path, images: dict[str, bytes], partition: str, identity: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / layout.IMAGES, "w") as archive:
        for name, data in images.items():
            archive.writestr(name, data)
    (folder / layout.PARTITION).write_text(partition)
    if identity:
        (folder / layout.IDENTITY).write_text(identity)
    return folder


def three(folder: Path, **extra: bytes) -> Path:
    images = {f"{k}.png": encoded(noise(20, 24, k)) for k in range(3)} | extra
    rows = [f"{name} {min(k, 2)}" for k, name in enumerate(images)]
    return source(folder, images, "\n".join(rows))


def crop(source: Path, folder: Path, processes: int = 1, max_skipped_fraction: float = 0.5) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    crop_all(
        source, folder, image_size=16, center_crop=20, max_skipped_fraction=max_skipped_fraction, processes=processes
    )
    return folder


def test_the_center_square_is_cut() -> None:
    pixels = noise(24, 20)
    assert np.array_equal(crop_image(encoded(pixels), 16, 16), pixels[4:20, 2:18].transpose(2, 0, 1))
    assert np.array_equal(crop_image(encoded(pixels), 20, None), pixels[2:22].transpose(2, 0, 1))


def test_scaling_is_antialiased() -> None:
    """A checkerboard of single pixels becomes gray, neither black nor white."""
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    scaled = crop_image(encoded(np.repeat(board[..., None], 3, axis=2).astype(np.uint8)), 16, None)
    assert scaled[:, 2:-2, 2:-2].min() > 110
    assert scaled[:, 2:-2, 2:-2].max() < 145


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_formats_and_modes_become_rgb(kind: str) -> None:
    gray = encoded(np.full((20, 20), 77, dtype=np.uint8), kind)
    assert np.abs(crop_image(gray, 16, None).astype(int) - 77).max() <= 2


def test_orientation_is_respected() -> None:
    pixels = noise(20, 20)
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 3  # turned by 180°
    Image.fromarray(pixels).save(file, "PNG", exif=exif)
    assert np.array_equal(crop_image(file.getvalue(), 20, None), pixels[::-1, ::-1].transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"no image", "unreadable"),
        (encoded(noise(40, 40), "JPEG")[:600], "unreadable"),
        (encoded(noise(15, 40)), "too small: 40×15"),
    ],
)
def test_bad_images_are_refused_with_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as refusal:
        crop_image(data, 16, None)
    assert "BytesIO" not in str(refusal.value)


def test_layout_of_the_result(tmp_path: Path) -> None:
    images = {f"img_align_celeba/{k}.png": encoded(noise(20, 24, k)) for k in range(4)}
    folder = crop(
        source(tmp_path / "raw", images, "0.png 0\n1.png 2\n2.png 0\n3.png 1\n", "0.png 7\n1.png 8\n3.png 9\n"),
        tmp_path / "images",
    )
    pixels = np.load(folder / "images.npy", mmap_mode="r")
    assert pixels.shape == (4, 3, 16, 16)
    assert pixels.dtype == np.uint8
    index = pd.read_csv(folder / "index.csv", dtype={"identity": "Int64"})
    assert index["split"].tolist() == ["train", "test", "train", "val"]
    assert index["identity"].fillna(-1).tolist() == [7, 8, -1, 9]
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["num_images"] == {"train": 2, "val": 1, "test": 1}
    assert summary["mean_pixel"] == pytest.approx(pixels[[0, 2]].mean(axis=(0, 2, 3)) / 255, abs=1e-6)
    train = PackedImages(folder, "train")
    assert np.array_equal(train.read(np.array([1])), pixels[[2]])
    assert np.array_equal(pixels[3], crop_image(images["img_align_celeba/3.png"], 16, 20))


def test_the_number_of_processes_changes_nothing(tmp_path: Path) -> None:
    raw_folder = three(tmp_path / "raw")
    one, two = (crop(raw_folder, tmp_path / str(n), processes=n) for n in (1, 2))
    for name in ("images.npy", "index.csv", "skipped.csv", "summary.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_skipped_images_are_listed_and_left_out(tmp_path: Path) -> None:
    folder = crop(three(tmp_path / "raw", **{"broken.png": b"nothing"}), tmp_path / "images")
    assert np.load(folder / "images.npy").shape == (3, 3, 16, 16)
    skipped = pd.read_csv(folder / "skipped.csv")
    assert skipped["file"].tolist() == ["broken.png"]
    assert skipped["reason"][0].startswith("unreadable")
    assert json.loads((folder / "summary.json").read_text())["skipped"] == 1


def test_too_many_skipped_stop_the_stage_and_leave_what_was_whole(tmp_path: Path) -> None:
    folder = crop(three(tmp_path / "good"), tmp_path / "images")
    before = (folder / "images.npy").read_bytes()
    bad = three(tmp_path / "bad", **{"broken.png": b"nothing"})
    with pytest.raises(UserError, match=r"1 of 4 images skipped.*max_skipped_fraction = 0\.1.*broken\.png"):
        crop(bad, folder, max_skipped_fraction=0.1)
    assert (folder / "images.npy").read_bytes() == before
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    assert pd.read_csv(folder / "skipped.csv")["file"].tolist() == ["broken.png"]  # to look at


@pytest.mark.parametrize(
    ("partition", "message"),
    [
        ("0.png 0\n1.png 1\n", "no row for the image 2.png"),
        ("0.png 0\n1.png 0\n2.png 1\n", "no usable image is in the split test"),
        ("0.png 0\n1.png 3\n2.png 1\n", "line 2"),
    ],
)
def test_bad_partitions_are_named(tmp_path: Path, partition: str, message: str) -> None:
    folder = three(tmp_path / "raw")
    (folder / layout.PARTITION).write_text(partition)
    with pytest.raises(UserError, match=message):
        crop(folder, tmp_path / "images")
    assert not (tmp_path / "images" / "images.npy").exists()


def test_a_corrupt_zip_is_named(tmp_path: Path) -> None:
    folder = three(tmp_path / "raw")
    archive = folder / layout.IMAGES
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(UserError, match=r"images\.zip is not a readable zip"):
        crop(folder, tmp_path / "images")
