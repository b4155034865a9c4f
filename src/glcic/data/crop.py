"""Crop the centre square of every image, scale it to S×S and pack all of them into one array."""

import io
import json
import zipfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageOps
from tqdm import tqdm

from glcic.data.faces import FACES, INDEX, REFUSED, SUMMARY
from glcic.data.sources import raw
from glcic.errors import UserError
from glcic.files import atomic, sha256_of, write_csv, write_text
from glcic.paths import SPLITS

BLOCK = 64  # images a worker handles at a time: bounds memory and makes up for the cost of sending results


def crop_image(data: bytes, size: int, square: int | None) -> NDArray[np.uint8]:
    """Centre square of one encoded image, scaled to (3, size, size) with antialiasing.

    Args:
        data: an encoded JPEG, PNG or WebP.
        size: side S of the result in pixels.
        square: side of the centre square in pixels; None takes the image's shorter side.

    Raises:
        ValueError: the image cannot be read or is too small; the message says why.
    """
    try:
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"unreadable: {error}".split(" <_io")[0]) from None  # without the address of the file object
    shorter = min(image.size)
    side = shorter if square is None else square
    if side > shorter or side < size:
        raise ValueError(f"too small: {image.width}×{image.height} pixels, needs {max(size, square or 0)}")
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    scaled = image.resize((size, size), Image.Resampling.BICUBIC, box=box)
    return np.asarray(scaled).transpose(2, 0, 1)


def crop_all(source: Path, folder: Path, *, size: int, square: int | None, max_refused: float, processes: int) -> None:
    """Turn the raw layout of `source` into packed arrays in `folder`.

    Writes faces.npy, uint8 (N, 3, S, S); index.csv: row, file, split, identity; refused.csv: file, reason;
    summary.json: counts, mean pixel of the training split in [0, 1], SHA-256 of faces.npy.

    Raises:
        UserError: a broken zip, a missing partition row, a larger share than `max_refused` of images refused,
            or a split without images.
    """
    archive = source / raw.IMAGES
    names = raw.members(archive)
    partition = raw.read_partition(source / raw.PARTITION)
    splits = [raw.split_of(name, partition) for name in names]  # before the work: a missing row stops early
    rows: list[tuple[str, str]] = []
    refused: list[tuple[str, str]] = []
    total, counted = np.zeros(3), 0
    with atomic(folder / FACES) as temporary, temporary.open("wb") as packed:
        _write_header(packed, len(names), size)
        results = _crop_in_order(archive, names, size, square, processes)
        progress = tqdm(zip(names, splits, results, strict=True), "crop", len(names), unit="image", disable=None)
        for name, split, result in progress:
            if isinstance(result, str):
                refused.append((name, result))
                continue
            packed.write(result.tobytes())
            rows.append((name, SPLITS[split]))
            if SPLITS[split] == "train":
                total += result.mean(axis=(1, 2), dtype=np.float64) / 255
                counted += 1
        packed.seek(0)
        _write_header(packed, len(rows), size)
        write_csv(folder / REFUSED, pd.DataFrame(refused, columns=["file", "reason"]))
        _check_share(folder / REFUSED, refused, len(names), max_refused)
        index = pd.DataFrame(rows, columns=["file", "split"]).rename_axis("row")
        counts = _count(index, source / raw.PARTITION)
    index["identity"] = _identities(source / raw.IDENTITY, index["file"])
    write_csv(folder / INDEX, index.reset_index())
    summary = {
        "size": size,
        "images": counts,
        "refused": len(refused),
        "mean_pixel": [round(float(c), 8) for c in total / counted],
        "sha256": sha256_of(folder / FACES),  # by it a run says what data it was trained on
    }
    write_text(folder / SUMMARY, json.dumps(summary, indent=2) + "\n")


def _crop_in_order(
    archive: Path, names: list[str], size: int, square: int | None, processes: int
) -> Iterator[NDArray[np.uint8] | str]:
    """Crops, or the reason for refusing, one per name and in their order."""
    blocks = [names[i : i + BLOCK] for i in range(0, len(names), BLOCK)]
    tasks = [(archive, block, size, square) for block in blocks]
    if processes == 1:
        for task in tasks:
            yield from _crop_block(task)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        ahead = 4 * processes  # blocks under way: a pool's own map would hold every result in memory
        for start in range(0, len(tasks), ahead):
            for results in pool.map(_crop_block, tasks[start : start + ahead]):
                yield from results


def _crop_block(task: tuple[Path, list[str], int, int | None]) -> list[NDArray[np.uint8] | str]:
    archive, names, size, square = task
    results: list[NDArray[np.uint8] | str] = []
    with zipfile.ZipFile(archive) as images:
        for name in names:
            try:
                results.append(crop_image(images.read(name), size, square))
            except (ValueError, *raw.UNREADABLE) as error:
                results.append(str(error))
    return results


def _write_header(packed: BinaryIO, n: int, size: int) -> None:
    # Of one length whatever n is: numpy pads it so that the first axis can grow, or shrink, in place.
    header: dict[str, Any] = {"descr": "|u1", "fortran_order": False, "shape": (n, 3, size, size)}
    np.lib.format.write_array_header_1_0(packed, header)


def _check_share(path: Path, refused: list[tuple[str, str]], n: int, max_refused: float) -> None:
    if len(refused) > max_refused * n:
        name, reason = refused[0]
        raise UserError(
            f"{len(refused)} of {n} images refused, more than crop.max_refused = {max_refused:g}; the first is "
            f"{name} ({reason}), all are listed in {path}; repair the source or raise crop.max_refused"
        )


def _count(index: pd.DataFrame, partition: Path) -> dict[str, int]:
    """Images of each split; none may be empty."""
    counts = {name: int((index["split"] == name).sum()) for name in SPLITS}
    empty = [name for name, count in counts.items() if count == 0]
    if empty:
        raise UserError(
            f"{partition}: no usable image is in the split {' or '.join(empty)}; correct the partition file, "
            "or the source's counts or ratios in download"
        )
    return counts


def _identities(path: Path, files: pd.Series) -> pd.Series:
    """Who is on each image, from the identity file where there is one; empty elsewhere."""
    known = raw.read_identity(path) if path.exists() else {}
    found = [known.get(name, known.get(name.rpartition("/")[2])) for name in files]
    return pd.Series(found, index=files.index, dtype="Int64")
