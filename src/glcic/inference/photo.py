"""Complete one picture: an image in memory, or a photo's file. Only the hole changes, and nothing else gets lost."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glcic.errors import UserError, note
from glcic.files import atomic
from glcic.images.filling import fill
from glcic.images.formats import Format, adapted, format_of
from glcic.images.metadata import exif_bytes, xmp_of
from glcic.images.reader import Picture, gray, of_image, pixels, read
from glcic.images.writer import write
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
    """Complete the white part of `mask` in `image` and write the result as `glcic.images.writer` does.

    The network is fully convolutional and sees the photo at its own scale; it does best where a face is about
    as large as those it was trained on.

    Args:
        blended: whether the completion is blended into its surroundings (`glcic.inference.blending`).
        invert: whether the black part is completed instead.
        allow_large: whether the hole may cover more than any of the training.

    Raises:
        UserError: a file is missing or no image, the sizes differ, the mask is none (`glcic.masks.rules`), or the
            output's format is not written or cannot hold the photo.
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
    form = format_of(output)
    if not output.absolute().parent.is_dir():
        raise UserError(f"{output}: the folder {output.parent} does not exist; make it first")
    if output.is_dir():
        raise UserError(f"{output}: a folder; name a file in it")
    with _explained(output, form):
        fitting, said = adapted(picture, form)
    filled = fill(fitting, _completed(picture, hole, weights, blended=blended), hole)
    with _explained(output, form), atomic(output) as temporary:
        said += write(filled, form, temporary)
    if said:
        note(f"{output}: written without {', '.join(said)}")
    if fitting.kind in ("P", "1"):
        note(f"{output}: the hole has only the colors of the photo's palette; a photo in RGB would have all")


@contextmanager
def _explained(output: Path, form: Format) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise UserError(f"{output}: cannot be written as {form.name} ({error}); end the name in .png") from None


def complete(
    image: Image.Image, mask: Image.Image, weights: Path, *, blended: bool = False, allow_large: bool = False
) -> Image.Image:
    """Complete the white part of `mask` in `image`.

    Args:
        image: a picture of any size and mode, turned as its EXIF data say; it is completed in sRGB.
        mask: of the same size, white where the picture is to be completed (`glcic.masks.rules`).
        weights: a weights file of a generator.
        blended: whether the completion is blended into its surroundings (`glcic.inference.blending`).
        allow_large: whether the hole may cover more than 60 % of the picture.

    Returns:
        The picture, upright, in its own mode. Outside the hole its pixels are those of `image`; the hole is opaque, in
        the colors of the profile or the palette. Its `info` has `icc_profile`, `exif` (without orientation, thumbnail
        and maker note), `xmp`, `dpi` and `transparency`, where `image` has them. Pillow's `save` writes EXIF data, and
        in JPEG and WebP the profile, only if they are given to it: `save(…, exif=completed.info["exif"])`.

    Raises:
        ValueError: the sizes differ, the mask is none (`glcic.masks.rules`), or there is no rule for an image's mode.
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
    for text in picture.notes:
        warnings.warn(text, stacklevel=2)
    filled = fill(picture, _completed(picture, hole, weights, blended=blended), hole)
    completed, info = filled.image, filled.image.info
    found = {name: info.get(name) for name in ("icc_profile", "dpi", "transparency")}
    found |= {"exif": exif_bytes(picture), "xmp": xmp_of(picture)}
    completed.info = {name: value for name, value in found.items() if value is not None}
    return completed


def _completed(picture: Picture, hole: NDArray[np.uint8], weights: Path, *, blended: bool) -> NDArray[np.uint8]:
    """Complete the hole (H, W) of a picture: (H, W, 3), uint8, sRGB."""
    weights = Path(weights)  # users give text
    if weights.is_dir():
        raise UserError(f"{weights}: a folder; name the weights file in it (generator_last.safetensors)")
    read_about(weights)  # is it there, and one of ours? What follows takes seconds

    from glcic.inference.blending import blend
    from glcic.inference.completer import Completer

    images, masks = pixels(picture)[None], hole[None, None]
    completed = Completer(weights)(images, masks, allow_large=True)  # it has been checked
    if blended:
        completed = blend(completed, images, masks)
    return np.ascontiguousarray(completed[0].transpose(1, 2, 0))
