"""Complete one picture: an image in memory, or a photo's file."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from glcic.errors import UserError
from glcic.files import atomic, read_image
from glcic.networks.weights import read_about

WHITE = 128  # of 255: from here on a pixel of a mask is hole


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
    remedy = "save it as PNG or JPEG"
    picture, hole = read_image(image, "RGB", remedy), read_image(mask, "L", remedy)
    if hole.size != picture.size:
        raise UserError(
            f"{mask}: {hole.width}×{hole.height} pixels, but {image} has {picture.width}×{picture.height}; "
            "make them the same size"
        )
    if not hole.point(lambda level: level >= WHITE).getbbox():
        raise UserError(f"{mask}: nothing is white; paint the hole white on black")
    if Image.registered_extensions().get(output.suffix.lower()) not in Image.SAVE:
        raise UserError(f"{output}: unknown image format; end the name in .png or .jpg")
    if not output.absolute().parent.is_dir():
        raise UserError(f"{output}: the folder {output.parent} does not exist; make it first")
    completed = complete(picture, hole, weights, blended=blended)
    with atomic(output) as temporary:
        completed.save(temporary)


def complete(image: Image.Image, mask: Image.Image, weights: Path, *, blended: bool = False) -> Image.Image:
    """Complete the white part of `mask` in `image`.

    Args:
        image: a picture of any size and mode, turned as its EXIF data say; it is completed in RGB.
        mask: of the same size, white (from 128 of 255 on) where the picture is to be completed.
        weights: a weights file of a generator.
        blended: whether the completion is blended into its surroundings (`glcic.inference.blending`).

    Returns:
        The picture in RGB; outside the hole its pixels are those of `image`.

    Raises:
        ValueError: the sizes differ.
        UserError: the weights are missing, or of no generator.

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from glcic import complete
        >>> photo, mask = Image.open("photo.jpg"), Image.open("mask.png")  # doctest: +SKIP
        >>> complete(photo, mask, Path("generator_last.safetensors")).save("completed.png")  # doctest: +SKIP
    """
    image = ImageOps.exif_transpose(image)
    if image.size != mask.size:
        raise ValueError(f"the mask has {mask.size} pixels, the image {image.size}")
    if weights.is_dir():
        raise UserError(f"{weights}: a folder; name the weights file in it (generator_last.safetensors)")
    read_about(weights)  # is it there, and one of ours? What follows takes seconds

    from glcic.inference.blending import blend
    from glcic.inference.completer import Completer

    # Copies: PyTorch warns of read-only arrays.
    pixels = np.array(image.convert("RGB")).transpose(2, 0, 1)[None]
    hole = (np.array(mask.convert("L")) >= WHITE)[None, None].astype(np.uint8)
    completed = Completer(weights)(pixels, hole)
    if blended:
        completed = blend(completed, pixels, hole)
    return Image.fromarray(completed[0].transpose(1, 2, 0))
