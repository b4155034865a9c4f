"""How far completions are from their images outside the hole: what `glcic score` judges them by.

    python tools/outside_the_hole.py [FOLDER]

Takes the test images of a folder of packed images (default data/images), changes them in ways that completions may be
changed, and prints the mean absolute difference outside the masks of three mask sets, in levels of 255: median and
largest of the images, smallest and largest of the mask sets' medians.
"""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from glcic import paths
from glcic.data.packed import PackedImages
from glcic.evaluation.mask_sets import draw
from glcic.experiments.fit import difference
from glcic.images.reader import decode, pixels

SETS = ("center", "half", "strokes_50_60")


def each(change: Callable[[Image.Image], np.ndarray], images: np.ndarray) -> np.ndarray:
    """Change images (N, 3, S, S) one by one."""
    return np.stack([change(Image.fromarray(image.transpose(1, 2, 0))) for image in images])


def jpeg(image: Image.Image) -> np.ndarray:
    """The image as a JPEG of quality 75: (3, S, S)."""
    data = io.BytesIO()
    image.save(data, "JPEG", quality=75)
    return pixels(decode(data.getvalue()))


def scaled(factor: int) -> Callable[[Image.Image], np.ndarray]:
    """The image at a fraction of its resolution: (3, S, S)."""

    def change(image: Image.Image) -> np.ndarray:
        small = image.resize((image.width // factor, image.height // factor), Image.Resampling.BICUBIC)
        return np.asarray(small.resize(image.size, Image.Resampling.BICUBIC)).transpose(2, 0, 1)

    return change


def main() -> None:
    """Measure and print."""
    packed = PackedImages(Path(sys.argv[1]) if len(sys.argv) > 1 else paths.IMAGES, "test")
    images = packed.read(np.arange(len(packed)))
    noise = np.random.default_rng(0).normal(0, 5, images.shape)
    changed = {
        "JPEG, quality 75": each(jpeg, images),
        "noise of σ = 5": np.clip(images + noise, 0, 255).round(),
        "half the resolution": each(scaled(2), images),
        "a quarter of the resolution": each(scaled(4), images),
        "moved by 1 pixel": np.roll(images, 1, axis=3),
        "red and blue swapped": images[:, ::-1],
        "mirrored": images[..., ::-1],
        "the next test image": np.roll(images, 1, axis=0),
    }
    for name, others in changed.items():
        found = [
            difference(others, images, draw(mask_set, 0, len(images), packed.image_size).masks) for mask_set in SETS
        ]
        medians = [np.median(one) for one in found]
        print(f"{name:28} median {min(medians):5.1f} to {max(medians):5.1f}   largest {max(map(np.max, found)):5.1f}")


if __name__ == "__main__":
    main()
