"""The formats that are written, and what each can hold of a photo."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from glcic.errors import UserError
from glcic.images import profiles
from glcic.images.reader import WHITE, Picture, eight_bits, on, split, srgb


@dataclass(frozen=True)
class Format:
    """A format that is written.

    Attributes:
        name: as Pillow calls it.
        kinds: kinds of pixels that come back exactly, or in a JPEG nearly.
        holds: what it holds beside pixels.
        keyed: kinds of pixels of which one color can stand for transparency.
    """

    name: str
    kinds: frozenset[str]
    holds: frozenset[str]
    keyed: frozenset[str] = frozenset()


PROFILE, EXIF, XMP, RESOLUTION, TEXT, COMMENT = "a color profile", "EXIF data", "XMP data", "dpi", "text", "a comment"


def _format(name: str, kinds: str, *holds: str, keyed: str = "") -> Format:
    return Format(name, frozenset(kinds.split()), frozenset(holds), frozenset(keyed.split()))


PNG = _format(
    "PNG",
    "1 L LA P RGB RGBA I;16 LA;16 RGB;16 RGBA;16",
    *(PROFILE, EXIF, XMP, RESOLUTION, TEXT),
    keyed="L P RGB I;16",
)
JPEG = _format("JPEG", "L RGB CMYK", PROFILE, EXIF, XMP, RESOLUTION, COMMENT)
WEBP = _format("WebP", "RGB RGBA", PROFILE, EXIF, XMP)
TIFF = _format("TIFF", "1 L LA P RGB RGBA CMYK YCbCr LAB I;16 I F RGB;16 RGBA;16", PROFILE, EXIF, XMP, RESOLUTION)
BMP = _format("BMP", "1 L P RGB", RESOLUTION)
GIF = _format("GIF", "L P", COMMENT, keyed="P")
WRITTEN = {
    **{".png": PNG, ".jpg": JPEG, ".jpeg": JPEG, ".webp": WEBP, ".bmp": BMP, ".gif": GIF},
    **dict.fromkeys((".tif", ".tiff"), TIFF),
}


def format_of(output: Path) -> Format:
    """The format of a file to be written, by its suffix.

    Raises:
        UserError: there is none, or it is not written.
    """
    if (found := WRITTEN.get(output.suffix.lower())) is None:
        raise UserError(f"{output}: unknown image format, or one that is not written; end the name in .png")
    return found


def adapted(picture: Picture, form: Format) -> tuple[Picture, list[str]]:
    """Convert a picture to what a format can hold, with as little change as possible.

    Returns:
        The picture, and what it lost by that, in words.

    Raises:
        ValueError: the format cannot hold the colors.
    """
    lost = []
    if picture.profile is not None and PROFILE not in form.holds:
        lost.append("its color profile (colors are converted to sRGB)")
        picture = _in_srgb(picture)
    while picture.kind not in form.kinds or not _key_fits(picture, form):
        picture, what = _step(picture, form)
        lost += what
    return picture, lost


def _key_fits(picture: Picture, form: Format) -> bool:
    key = picture.image.info.get("transparency")
    if picture.deep is not None or (key is None and not _has_clear_palette(picture.image)):
        return True
    if form is GIF and not isinstance(key, int):
        return False
    return picture.kind in form.keyed


def _has_clear_palette(image: Image.Image) -> bool:
    return image.mode == "P" and image.has_transparency_data


def _step(picture: Picture, form: Format) -> tuple[Picture, list[str]]:
    """Convert to a simpler kind: the picture, and what it lost."""
    kind, image = picture.kind, picture.image
    keyed = picture.deep is None and "transparency" in image.info
    if kind in ("I", "F"):
        values = np.asarray(image) if kind == "I" else np.rint(np.asarray(image) * 65535)
        simpler = Image.frombytes("I;16", image.size, values.astype("<u2").tobytes())
        return _with(picture, simpler), ["floating-point values"] if kind == "F" else []
    if ";16" in kind:
        return _with(picture, eight_bits(picture)), ["16 bits a channel (8 are written)"]
    if kind in ("CMYK", "LAB"):
        return _in_srgb(picture), [f"its colors in {kind} (sRGB is written)"]
    if kind in ("1", "P", "YCbCr") or keyed:
        return _with(picture, eight_bits(picture)), []
    if kind in ("L", "LA") and picture.profile is not None and not profiles.is_of_rgb(picture.profile):
        return _in_srgb(picture), ["its gray profile (colors are converted to sRGB)"]
    if kind == "L" and "RGB" in form.kinds:
        return _with(picture, image.convert("RGB")), []
    if kind == "LA" and "RGBA" in form.kinds:
        return _with(picture, image.convert("RGBA")), []
    colors, alpha = split(image)
    if alpha is None:
        raise ValueError(f"{form.name} has at most 256 colors")
    opaque = alpha.getextrema() == (WHITE, WHITE)
    return _with(picture, on(WHITE, colors, alpha)), [] if opaque else ["transparency (white is put under it)"]


def _in_srgb(picture: Picture) -> Picture:
    """The picture in 8-bit sRGB, without a profile."""
    colors, alpha = srgb(picture)
    image = colors if alpha is None else Image.merge("RGBA", (*colors.split(), alpha))
    plain = replace(_with(picture, image), profile=None)
    plain.image.info.pop("icc_profile", None)
    return plain


def _with(picture: Picture, image: Image.Image) -> Picture:
    image.info = {key: value for key, value in picture.image.info.items() if key != "transparency"}
    return replace(picture, image=image, deep=None)
