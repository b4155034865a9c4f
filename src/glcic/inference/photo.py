"""Complete one picture: an image in memory, or a photo's file."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glcic.errors import UserError
from glcic.files import atomic
from glcic.images.reader import Picture, gray, of_image, pixels, read
from glcic.masks.rules import TooLarge, check_hole, hole_of, percent
from glcic.networks.weights import read_about


def complete_photo(
    image: Path,
    mask: Path,
    output: Path,
    weights: Path,
    *,
    blended: bool = False,
    invert: bool = False,
    allow_large: bool = False,
) -> None:
    """Complete the white part of `mask` in `image` and write the result.

    The network is fully convolutional and sees the photo at its own scale; it does best where a face is about
    as large as those it was trained on.

    Args:
        blended: whether the completion is blended into its surroundings (`glcic.inference.blending`).
        invert: whether the black part is completed instead.
        allow_large: whether the hole may cover more than any of the training.

    Raises:
        UserError: a file is missing or no image, the sizes differ, the mask is none (`glcic.masks.rules`), or the
            output's format is unknown.
    """
    remedy = "save it as PNG or JPEG"
    picture, levels = read(image, remedy), gray(read(mask, remedy))
    (width, height), (mask_height, mask_width) = picture.image.size, levels.shape
    if (mask_width, mask_height) != (width, height):
        raise UserError(
            f"{mask}: {mask_width}×{mask_height} pixels, but {image} has {width}×{height}; make them the same size"
        )
    try:
        hole = hole_of(levels, invert=invert)
        check_hole(hole, allow_large=allow_large)
    except TooLarge as error:
        share = percent(error.share)
        raise UserError(
            f"{mask}: covers {share} of the photo; is the mask inverted? --invert, or --yes if it is meant"
        ) from None
    except ValueError as error:
        raise UserError(f"{mask}: {error}") from None
    if Image.registered_extensions().get(output.suffix.lower()) not in Image.SAVE:
        raise UserError(f"{output}: unknown image format; end the name in .png")
    if not output.absolute().parent.is_dir():
        raise UserError(f"{output}: the folder {output.parent} does not exist; make it first")
    completed = Image.fromarray(_completed(picture, hole, weights, blended=blended))
    with atomic(output) as temporary:
        completed.save(temporary)


def complete(
    image: Image.Image, mask: Image.Image, weights: Path, *, blended: bool = False, allow_large: bool = False
) -> Image.Image:
    """Complete the white part of `mask` in `image`.

    Args:
        image: a picture of any size and mode, turned as its EXIF data say; it is completed in RGB.
        mask: of the same size, white (from 128 of 255 on) where the picture is to be completed.
        weights: a weights file of a generator.
        blended: whether the completion is blended into its surroundings (`glcic.inference.blending`).
        allow_large: whether the hole may cover more than 60 % of the picture.

    Returns:
        The picture in RGB; outside the hole its pixels are those of `image`.

    Raises:
        ValueError: the sizes differ, or the mask is none (`glcic.masks.rules`).
        UserError: the weights are missing, or of no generator.

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from glcic import complete
        >>> photo, mask = Image.open("photo.jpg"), Image.open("mask.png")  # doctest: +SKIP
        >>> complete(photo, mask, Path("generator_last.safetensors")).save("completed.png")  # doctest: +SKIP
    """
    picture, levels = of_image(image), gray(of_image(mask))
    if picture.image.size != levels.shape[::-1]:
        raise ValueError(f"the mask has {levels.shape[::-1]} pixels, the image {picture.image.size}")
    hole = hole_of(levels)
    check_hole(hole, allow_large=allow_large)
    return Image.fromarray(_completed(picture, hole, weights, blended=blended))


def _completed(picture: Picture, hole: NDArray[np.uint8], weights: Path, *, blended: bool) -> NDArray[np.uint8]:
    """Complete the hole (H, W) of a picture: (H, W, 3), uint8, sRGB."""
    if weights.is_dir():
        raise UserError(f"{weights}: a folder; name the weights file in it (generator_last.safetensors)")
    read_about(weights)  # is it there, and one of ours? What follows takes seconds

    from glcic.inference.blending import blend
    from glcic.inference.completer import Completer

    images, masks = pixels(picture)[None], hole[None, None]
    completed = Completer(weights)(images, masks)
    if blended:
        completed = blend(completed, images, masks)
    return np.ascontiguousarray(completed[0].transpose(1, 2, 0))
