"""Crop the center square of every image, scale it to S×S pixels, and pack all of them into one array."""

import json
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from glcic.data.packed import IMAGES, INDEX, SKIPPED, SUMMARY, write_checksums
from glcic.data.sources import celeba_layout as layout
from glcic.errors import UserError, note
from glcic.files import atomic, sha256_of, write_csv, write_text
from glcic.images.reader import Picture, decode, rgb
from glcic.paths import SPLITS

BLOCK = 64  # images a worker handles at a time: bounds memory and amortizes the cost of sending results
Result = tuple[NDArray[np.uint8] | str, tuple[str, ...]]  # a crop, or the reason why there is none; notes on the image


def crop_image(data: bytes, image_size: int, center_crop: int | None) -> NDArray[np.uint8]:
    """Crop the center square of one encoded image and scale it with antialiasing.

    Args:
        data: an encoded image of any kind that `glcic.images.reader` reads.
        image_size: side S of the result in pixels.
        center_crop: side of the center square in pixels; None takes the image's shorter side.

    Returns:
        (3, S, S), uint8, sRGB.

    Raises:
        ValueError: the image cannot be read or is too small; the message says why.
    """
    return _crop(_decoded(data), image_size, center_crop)


def _decoded(data: bytes) -> Picture:
    try:
        return decode(data)
    except ValueError as error:
        raise ValueError(f"unreadable: {error}") from None


def _crop(picture: Picture, image_size: int, center_crop: int | None) -> NDArray[np.uint8]:
    image = rgb(picture)
    shorter = min(image.size)
    side = shorter if center_crop is None else center_crop
    if side > shorter or side < image_size:
        raise ValueError(f"too small: {image.width}×{image.height} pixels, needs {max(image_size, center_crop or 0)}")
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    scaled = image.resize((image_size, image_size), Image.Resampling.BICUBIC, box=box)
    return np.asarray(scaled).transpose(2, 0, 1)


def crop_all(
    source: Path, folder: Path, *, image_size: int, center_crop: int | None, max_skipped_fraction: float, processes: int
) -> None:
    """Crop all images of `source`, in CelebA's layout, and pack them into `folder`.

    Writes images.npy: (N, 3, S, S), uint8; index.csv: row, file, split, identity; skipped.csv: file, reason;
    summary.json: counts, mean pixel of the training split in [0, 1], SHA-256 of images.npy; SHA256SUMS: of all of them.

    Args:
        source: folder in the layout of `glcic.data.sources.celeba_layout`.
        folder: folder for the results.
        image_size: side S of the results in pixels.
        center_crop: side of the center square in pixels; None takes each image's shorter side.
        max_skipped_fraction: largest fraction of images that may be unusable.
        processes: number of worker processes.

    Raises:
        UserError: the zip is broken, a partition row is missing, too many images were skipped, or a split has no
            images.
    """
    archive = source / layout.IMAGES
    names = layout.members(archive)
    partition = layout.read_partition(source / layout.PARTITION)
    splits = [layout.split_of(name, partition) for name in names]  # first, so that a missing row stops early
    rows: list[tuple[str, str]] = []
    skipped: list[tuple[str, str]] = []
    noted: dict[str, list[str]] = defaultdict(list)
    total, counted = np.zeros(3), 0
    with atomic(folder / IMAGES) as temporary, temporary.open("wb") as packed:
        _write_header(packed, len(names), image_size)
        results = _crop_in_order(archive, names, image_size, center_crop, processes)
        progress = tqdm(zip(names, splits, results, strict=True), "crop", len(names), unit="image", disable=None)
        for name, split, (result, notes) in progress:
            for text in notes:
                noted[text].append(name)
            if isinstance(result, str):
                skipped.append((name, result))
                continue
            packed.write(result.tobytes())
            rows.append((name, SPLITS[split]))
            if SPLITS[split] == "train":
                total += result.mean(axis=(1, 2), dtype=np.float64) / 255
                counted += 1
        packed.seek(0)
        _write_header(packed, len(rows), image_size)
        write_csv(folder / SKIPPED, pd.DataFrame(skipped, columns=["file", "reason"]))
        _check_fraction(folder / SKIPPED, skipped, len(names), max_skipped_fraction)
        index = pd.DataFrame(rows, columns=["file", "split"]).rename_axis("row")
        counts = _count(index, source / layout.PARTITION)
    index["identity"] = _identities(source / layout.IDENTITY, index["file"])
    write_csv(folder / INDEX, index.reset_index())
    summary: dict[str, Any] = {
        "image_size": image_size,
        "num_images": counts,
        "skipped": len(skipped),
        "mean_pixel": [round(float(c), 8) for c in total / counted],
        "sha256": sha256_of(folder / IMAGES),  # identifies the data that a run was trained on
    }
    write_text(folder / SUMMARY, json.dumps(summary, indent=2) + "\n")
    write_checksums(folder, summary["sha256"])
    for text, named in noted.items():
        note(f"{len(named)} of {len(names)} images, {named[0]} the first: {text}")


def _crop_in_order(
    archive: Path, names: list[str], image_size: int, center_crop: int | None, processes: int
) -> Iterator[Result]:
    """Yield the result for each name in order."""
    blocks = [names[i : i + BLOCK] for i in range(0, len(names), BLOCK)]
    tasks = [(archive, block, image_size, center_crop) for block in blocks]
    if processes == 1:
        for task in tasks:
            yield from _crop_block(task)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        ahead = 4 * processes  # blocks in flight: mapping over all of them would hold every result in memory
        for start in range(0, len(tasks), ahead):
            for results in pool.map(_crop_block, tasks[start : start + ahead]):
                yield from results


def _crop_block(task: tuple[Path, list[str], int, int | None]) -> list[Result]:
    archive, names, image_size, center_crop = task
    results: list[Result] = []
    with zipfile.ZipFile(archive) as images:
        for name in names:
            try:
                picture = _decoded(images.read(name))
                results.append((_crop(picture, image_size, center_crop), picture.notes))
            except (ValueError, *layout.UNREADABLE) as error:
                results.append((str(error), ()))
    return results


def _write_header(packed: BinaryIO, n: int, image_size: int) -> None:
    # The header has the same length for every n: NumPy pads it so that the first axis can change in place.
    header: dict[str, Any] = {"descr": "|u1", "fortran_order": False, "shape": (n, 3, image_size, image_size)}
    np.lib.format.write_array_header_1_0(packed, header)


def _check_fraction(path: Path, skipped: list[tuple[str, str]], n: int, max_skipped_fraction: float) -> None:
    if len(skipped) > max_skipped_fraction * n:
        name, reason = skipped[0]
        raise UserError(
            f"{len(skipped)} of {n} images skipped, more than crop.max_skipped_fraction = {max_skipped_fraction:g}; "
            f"the first is {name} ({reason}), all are listed in {path}; repair the source or raise "
            "crop.max_skipped_fraction"
        )


def _count(index: pd.DataFrame, partition: Path) -> dict[str, int]:
    """Count the images of each split; none may be empty."""
    counts = {name: int((index["split"] == name).sum()) for name in SPLITS}
    empty = [name for name, count in counts.items() if count == 0]
    if empty:
        raise UserError(
            f"{partition}: no usable image is in the split {' or '.join(empty)}; correct the partition file, "
            "or the source's counts or split_ratios in download"
        )
    return counts


def _identities(path: Path, files: pd.Series) -> pd.Series:
    """Number of the person in each image, from the identity file if there is one; missing values elsewhere."""
    known = layout.read_identity(path) if path.exists() else {}
    found = [known.get(name, known.get(name.rpartition("/")[2])) for name in files]
    return pd.Series(found, index=files.index, dtype="Int64")
