"""Packed images, which the crop stage writes and all later stages read."""

import csv
import io
import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glcic import paths
from glcic.errors import UserError
from glcic.files import sha256_of, write_text

if TYPE_CHECKING:
    import pandas as pd

IMAGES, INDEX, SKIPPED, SUMMARY = (
    path.name for path in (paths.IMAGES_ARRAY, paths.IMAGES_INDEX, paths.IMAGES_SKIPPED, paths.IMAGES_SUMMARY)
)
CHECKSUMS = "SHA256SUMS"  # of these files, for us and for `sha256sum --check`
REMEDY = "make it again with `dvc repro --force --single-item crop`"


def write_checksums(folder: Path, images_sha256: str) -> None:
    """Write the SHA-256 of the packed files; that of images.npy, which may have many GB, is known already."""
    digests = {IMAGES: images_sha256} | {name: sha256_of(folder / name) for name in (INDEX, SKIPPED, SUMMARY)}
    write_text(folder / CHECKSUMS, "".join(f"{digest}  {name}\n" for name, digest in digests.items()))


class PackedImages:
    """The packed images of one split, read from disk on demand.

    Attributes:
        rows: (N,), int64, the split's rows in images.npy.
        mean_pixel: (3,), mean of the training split, in [0, 1].
        image_size: side S in pixels.
        summary: facts about all splits: image size, counts, mean pixel, and the SHA-256 of images.npy.
    """

    def __init__(self, folder: Path, split: str) -> None:
        """Open one split; the pixels are not read yet.

        Args:
            folder: folder written by the crop stage.
            split: `train`, `val` or `test`.

        Raises:
            UserError: the crop stage has not run, or the index or the summary is damaged.
        """
        self._path = folder / IMAGES
        self._index = folder / INDEX
        self._split = split
        self._pixels: NDArray[np.uint8] | None = None
        self.summary: dict[str, Any] = json.loads(_intact(folder / SUMMARY))
        lines = csv.DictReader(io.StringIO(_intact(self._index)))
        self.rows = np.array([int(line["row"]) for line in lines if line["split"] == split], np.int64)
        self.image_size: int = self.summary["image_size"]
        self.mean_pixel: list[float] = self.summary["mean_pixel"]

    def __len__(self) -> int:
        return len(self.rows)

    def check(self) -> None:
        """Compare all pixels, of every split, with the SHA-256 that the crop stage wrote down; reads the whole file.

        Raises:
            UserError: they differ.
        """
        if sha256_of(self._path) != self.summary["sha256"]:
            raise UserError(f"{self._path}: damaged: its SHA-256 is not that in {SUMMARY}; {REMEDY}")

    @cached_property
    def index(self) -> "pd.DataFrame":
        """The split's rows of index.csv, for tables of results."""
        import pandas as pd  # slow to import, and training needs no tables

        index = pd.read_csv(self._index)
        return index[index["split"] == self._split]

    def read(self, items: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Read images.

        Args:
            items: (N,), numbers of the images within the split.

        Returns:
            (N, 3, S, S), uint8.
        """
        if self._pixels is None:  # opened on first use: each loader process maps the file itself
            self._pixels = np.load(self._path, mmap_mode="r")
        return np.asarray(self._pixels[self.rows[items]])

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_pixels": None}  # send the path to loader processes, not the pixels


def _intact(path: Path) -> str:
    """Read a text file, and compare it with its SHA-256.

    Raises:
        UserError: a file is missing, or they differ.
    """
    try:
        listed = (path.parent / CHECKSUMS).read_text(encoding="utf-8", errors="replace").splitlines()
        if f"{sha256_of(path)}  {path.name}" not in listed:
            raise UserError(f"{path}: damaged: its SHA-256 is not that in {CHECKSUMS}; {REMEDY}")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: no such file; run `dvc repro crop` first") from None
