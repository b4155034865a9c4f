"""How much a JPEG that `glcic complete` writes differs from the photo outside the hole.

    python tools/jpeg_difference.py FOLDER_OR_ZIP [NUMBER [SIDE]]

Takes NUMBER photos (default 200), evenly spread; with SIDE, scales them down to this longer side. Gives each a square
hole of a third of its shorter side in the middle, filled with the inverted photo, which no completion is further from;
writes it as JPEG and reads it again. Prints the differences of the three channels, of 255: near the hole (within 16
pixels, where blocks of the JPEG reach into it) and elsewhere; for photos that are JPEG, with their own tables, and for
the same pixels without them, at quality 95.
"""

import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from glcic.images.filling import fill
from glcic.images.formats import JPEG, adapted
from glcic.images.reader import Picture, decode, of_image, rgb
from glcic.images.writer import write

NEAR = 16  # pixels: the side of a block where colors are stored at half the resolution


def photos(source: Path, number: int) -> Iterator[bytes]:
    """The photos, encoded."""
    if source.is_dir():
        files = sorted(source.glob("*.jpg"))
        yield from (path.read_bytes() for path in files[:: max(1, len(files) // number)][:number])
        return
    with zipfile.ZipFile(source) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        yield from (archive.read(name) for name in names[:: max(1, len(names) // number)][:number])


def differences(photo: Picture, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Absolute differences of the channels outside the hole: near it, and elsewhere."""
    before = np.asarray(rgb(photo)).astype(int)
    height, width = before.shape[:2]
    side = min(height, width) // 3
    top, left = (height - side) // 2, (width - side) // 2
    hole = np.zeros((height, width), np.uint8)
    hole[top : top + side, left : left + side] = 1
    near = np.zeros((height, width), bool)
    near[max(0, top - NEAR) : top + side + NEAR, max(0, left - NEAR) : left + side + NEAR] = True
    fitting, _ = adapted(photo, JPEG)
    write(fill(fitting, (255 - before).astype(np.uint8), hole), JPEG, path)
    difference = np.abs(np.asarray(rgb(decode(path.read_bytes()))).astype(int) - before)
    return difference[near & (hole == 0)], difference[~near]


def main() -> None:
    """Measure and print."""
    source, number = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 200
    side = int(sys.argv[3]) if len(sys.argv) > 3 else None
    rows: dict[str, list[np.ndarray]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for data in photos(source, number):
            photo = decode(data)
            if side is not None:
                small = rgb(photo)
                small.thumbnail((side, side), Image.Resampling.LANCZOS)
                photo = of_image(small)
            for kind, one in (("own tables", photo), ("quality 95", replace(photo, jpeg={}))):
                near, far = differences(one, Path(folder) / "out.jpg")
                for place, found in (("near", near), ("elsewhere", far)):
                    counts = np.bincount(found.ravel(), minlength=256)
                    rows.setdefault(f"{kind}, {place}", []).append(counts)
    print(f"{'of 255':24} mean  99 %   max  worst photo's mean  unchanged")
    levels = np.arange(256)
    for name, of_photos in rows.items():
        counts = np.stack(of_photos)
        total = counts.sum(axis=0)
        share = np.cumsum(total) / total.sum()
        means = counts @ levels / counts.sum(axis=1)
        most = int(np.flatnonzero(total)[-1])
        unchanged = total[0] / total.sum()
        print(
            f"{name:24} {total @ levels / total.sum():.2f} {np.searchsorted(share, 0.99):5d} {most:5d} "
            f"{means.max():19.2f} {unchanged:10.1%}"
        )


if __name__ == "__main__":
    main()
