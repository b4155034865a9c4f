"""Packed faces: what the crop stage writes and all later stages read."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glcic.errors import UserError

FACES, INDEX, REFUSED, SUMMARY = "faces.npy", "index.csv", "refused.csv", "summary.json"


class Faces:
    """The packed faces of one split, read from disk as they are needed.

    Attributes:
        rows: of the split in faces.npy.
        mean_pixel: (3,) of the training split, in [0, 1].
        index: the rows of index.csv that belong to the split.
    """

    def __init__(self, folder: Path, split: str) -> None:
        if not (folder / SUMMARY).exists():
            raise UserError(f"{folder / SUMMARY}: no such file; run `dvc repro crop` first")
        self._path = folder / FACES
        self._pixels: NDArray[np.uint8] | None = None
        index = pd.read_csv(folder / INDEX)
        self.index = index[index["split"] == split]
        self.rows = self.index["row"].to_numpy()
        summary = json.loads((folder / SUMMARY).read_text())
        self.size: int = summary["size"]
        self.mean_pixel: list[float] = summary["mean_pixel"]

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, items: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Images by their number within the split: (len(items), 3, S, S)."""
        if self._pixels is None:  # opened late: each loader process maps the file for itself
            self._pixels = np.load(self._path, mmap_mode="r")
        return np.asarray(self._pixels[self.rows[items]])

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_pixels": None}  # send the path to loader processes, not the pixels
