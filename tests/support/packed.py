"""Packed images of a test's own, as the stage crop would write them."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glcic.data.packed import write_checksums
from glcic.files import sha256_of


def write_packed(folder: Path, images: NDArray[np.uint8], splits: Sequence[str]) -> None:
    """Write images (N, 3, S, S), and the split of each, into an existing folder."""
    np.save(folder / "images.npy", images)
    digest = sha256_of(folder / "images.npy")
    rows = "".join(f"{row},{row}.png,{split},\n" for row, split in enumerate(splits))
    (folder / "index.csv").write_text(f"row,file,split,identity\n{rows}")
    (folder / "skipped.csv").write_text("file,reason\n")
    summary = {"image_size": images.shape[-1], "mean_pixel": [0.5, 0.5, 0.5], "sha256": digest}
    (folder / "summary.json").write_text(json.dumps(summary))
    write_checksums(folder, digest)
