"""Packed faces: what the crop stage writes and all later stages read."""

import csv
import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glcic import paths
from glcic.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

FACES, INDEX, REFUSED, SUMMARY = (
    path.name for path in (paths.FACES_ARRAY, paths.FACES_INDEX, paths.FACES_REFUSED, paths.FACES_SUMMARY)
)


class Faces:
    """The packed faces of one split, read from disk as they are needed.

    Attributes:
        rows: of the split in faces.npy.
        mean_pixel: (3,) of the training split, in [0, 1].
        summary: of all splits: size, counts, mean pixel, and the SHA-256 of faces.npy.
    """

    def __init__(self, folder: Path, split: str) -> None:
        if not (folder / SUMMARY).exists():
            raise UserError(f"{folder / SUMMARY}: no such file; run `dvc repro crop` first")
        self._path = folder / FACES
        self._index = folder / INDEX
        self._split = split
        self._pixels: NDArray[np.uint8] | None = None
        with self._index.open(newline="") as lines:
            self.rows = np.array(
                [int(line["row"]) for line in csv.DictReader(lines) if line["split"] == split], np.int64
            )
        self.summary: dict[str, Any] = json.loads((folder / SUMMARY).read_text())
        self.size: int = self.summary["size"]
        self.mean_pixel: list[float] = self.summary["mean_pixel"]

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def index(self) -> "pd.DataFrame":
        """The rows of index.csv that belong to the split, for tables of results."""
        import pandas as pd  # training, which needs no tables, would pay a second for it in each process

        index = pd.read_csv(self._index)
        return index[index["split"] == self._split]

    def read(self, items: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Images by their number within the split: (len(items), 3, S, S)."""
        if self._pixels is None:  # opened late: each loader process maps the file for itself
            self._pixels = np.load(self._path, mmap_mode="r")
        return np.asarray(self._pixels[self.rows[items]])

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_pixels": None}  # send the path to loader processes, not the pixels
