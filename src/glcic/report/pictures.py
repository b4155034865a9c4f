"""Pictures embedded in a page, recompressed to fit its size limit."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from glcic.images.reader import read, rgb
from glcic.report.report_data import Shown

LARGEST_TILE = 128  # pixels, side of an image in a gallery
LARGEST_FIGURE = 1600  # pixels, width of the figure


@dataclass(frozen=True)
class Level:
    """How strongly pictures are compressed: scale of their sides, and WebP quality (0 to 100)."""

    scale: float
    quality: int


# Tried in this order until the page is small enough.
LEVELS = tuple(
    Level(*level) for level in ((1, 85), (1, 72), (0.8, 70), (0.6, 65), (0.4, 60), (0.25, 50), (0.12, 40), (0.05, 20))
)


@dataclass(frozen=True)
class Picture:
    """A picture as a data URI, and its size in pixels before it was scaled down."""

    uri: str
    width: int
    height: int


def figure(path: Path, level: Level) -> Picture:
    """Embed a whole picture file."""
    image = _read(path)
    return _picture(image, level.scale * min(1, LARGEST_FIGURE / image.width), level.quality)


def gallery(shown: Shown, level: Level) -> Picture:
    """Embed those rows of a gallery's grid of square tiles that `shown` selects."""
    image = _read(shown.picture)
    side = image.height // shown.rows
    rows = image.crop((0, side * shown.top, image.width, side * shown.bottom))
    return _picture(rows, level.scale * min(1, LARGEST_TILE / side), level.quality)


def _read(path: Path) -> Image.Image:
    return rgb(read(path, "run `dvc repro` to draw it again"))


def _picture(image: Image.Image, scale: float, quality: int) -> Picture:
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    smaller = image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)
    content = io.BytesIO()
    smaller.save(content, "webp", quality=quality, method=6)
    return Picture("data:image/webp;base64," + base64.b64encode(content.getvalue()).decode(), *image.size)
