"""Complete a photo file."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from glcic.errors import UserError
from glcic.files import atomic
from glcic.inference.blending import blend
from glcic.inference.completer import Completer


def complete_photo(image: Path, mask: Path, output: Path, weights: Path, *, blended: bool = False) -> None:
    """Complete the white part of `mask` in `image` and write the result.

    The network is fully convolutional and sees the photo at its own scale; it does best where a face is about
    as large as those it was trained on.

    Args:
        blended: whether the completion is blended into its surroundings (`glcic.inference.blending`).

    Raises:
        UserError: a file is missing or no image, the sizes differ, the mask is empty, or the output's format is
            unknown.
    """
    pixels = _read(image, "RGB").transpose(2, 0, 1)[None]
    hole = (_read(mask, "L") >= 128)[None, None].astype(np.uint8)
    if hole.shape[2:] != pixels.shape[2:]:
        raise UserError(
            f"{mask}: {hole.shape[3]}×{hole.shape[2]} pixels, but {image} has {pixels.shape[3]}×{pixels.shape[2]}; "
            "make them the same size"
        )
    if not hole.any():
        raise UserError(f"{mask}: nothing is white; paint the hole white on black")
    if Image.registered_extensions().get(output.suffix.lower()) not in Image.SAVE:
        raise UserError(f"{output}: unknown image format; end the name in .png or .jpg")
    if not output.absolute().parent.is_dir():
        raise UserError(f"{output}: the folder {output.parent} does not exist; make it first")
    completed = Completer(weights)(pixels, hole)
    if blended:
        completed = blend(completed, pixels, hole)
    with atomic(output) as temporary:
        Image.fromarray(completed[0].transpose(1, 2, 0)).save(temporary)


def _read(path: Path, mode: str) -> NDArray[np.uint8]:
    """Pixels of an image as a viewer shows it: turned as its EXIF data say."""
    try:
        # A copy: PyTorch warns of read-only arrays.
        return np.array(ImageOps.exif_transpose(Image.open(path)).convert(mode))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: not an image that can be read ({error}); save it as PNG or JPEG") from None
