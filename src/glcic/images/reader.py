"""The reader of all images: training images, photos, masks and completions, from files, bytes or memory.

docs/images.md has the table of formats and modes. Whatever an image holds, networks see what a viewer shows: the first
frame, turned as its EXIF data say, in 8-bit sRGB, on white where it is transparent. For an 8-bit RGB image without a
profile these are the decoded pixels themselves.
"""

import io
import struct
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, JpegImagePlugin, UnidentifiedImageError, features

from glcic.errors import UserError, note
from glcic.images import profiles

WHITE = 255
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", *(("AVIF",) if features.check("avif") else ()))
BASES = {  # the modes read, and those in which their profiles are meant
    **dict.fromkeys(("1", "L", "LA", "I;16", "I", "F", "LA;16"), "L"),
    **dict.fromkeys(("P", "RGB", "RGBA", "YCbCr", "RGB;16", "RGBA;16"), "RGB"),
    "CMYK": "CMYK",
    "LAB": "LAB",
}
DEEP = {"LA;16": 2, "RGB;16": 3, "RGBA;16": 4}  # kinds of 16 bits that Pillow would cut to 8, and their channels
ORIENTATION, BITS, PHOTOMETRIC, PLANES, SAMPLES = 274, 258, 262, 284, 339  # tags
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


@dataclass(frozen=True)
class Picture:
    """An image as it was read: upright, in its own mode and colors.

    Attributes:
        image: the pixels. Where `deep` is given, it has their upper 8 bits.
        deep: (H, W, C), pixels of 16 bits in C = 2 (gray, alpha), 3 (RGB) or 4 (RGBA) channels.
        profile: the color profile that leads to sRGB; None: the pixels are sRGB, or taken for it.
        colorless: whether the file has gray levels, whatever mode it is converted to.
        exif: its EXIF data.
        text: the text of a PNG by keyword.
        jpeg: options of Pillow that compress as the JPEG it came from was; empty for other formats.
        notes: what of the file is not used, in words.
    """

    image: Image.Image
    deep: NDArray[np.uint16] | None = None
    profile: bytes | None = None
    colorless: bool = False
    exif: Image.Exif = field(default_factory=Image.Exif)
    text: dict[str, str] = field(default_factory=dict)
    jpeg: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """Pillow's mode, or a kind of `DEEP`."""
        return self.image.mode if self.deep is None else _kind_of(self.deep)


def read(path: Path, remedy: str) -> Picture:
    """Read an image file. What of it is not used is told in one line.

    Args:
        path: the file.
        remedy: advice for the error message if it is not a readable image.

    Raises:
        UserError: the file does not exist or is not a readable image.
    """
    try:
        picture = decode(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not an image that can be read ({error}); {remedy}") from None
    if picture.notes:
        note(f"{path}: {'; '.join(picture.notes)}")
    return picture


def decode(data: bytes) -> Picture:
    """Read an encoded image.

    Raises:
        ValueError: it is not a readable image; the message says why.
    """
    try:
        return _picture(_opened(data), data)
    except UNREADABLE as error:
        raise ValueError(str(error).split(" <_io")[0]) from None  # without the address of the file object


def of_image(image: Image.Image) -> Picture:
    """Take an image of Pillow.

    Raises:
        ValueError: its file cannot be decoded, or there is no rule for its mode.
    """
    try:
        return _picture(image, None)
    except UNREADABLE as error:
        raise ValueError(str(error)) from None


def rgb(picture: Picture) -> Image.Image:
    """The image as networks see it: mode RGB, sRGB, on white."""
    colors, alpha = srgb(picture)
    return colors if alpha is None else on(WHITE, colors, alpha)


def srgb(picture: Picture) -> tuple[Image.Image, Image.Image | None]:
    """The colors in sRGB, mode RGB, and the alpha in mode L, if there is one."""
    image, alpha = split(eight_bits(picture))
    profile = profiles.LAB if image.mode == "LAB" else picture.profile
    if profile is not None:
        image = profiles.to_srgb(image, profile)
    elif image.mode != "RGB":
        image = image.convert("RGB")
    return image, alpha


def pixels(picture: Picture) -> NDArray[np.uint8]:
    """The image as networks see it: (3, H, W), uint8, sRGB."""
    return np.array(rgb(picture)).transpose(2, 0, 1)  # a copy: PyTorch warns of read-only arrays


def gray(picture: Picture) -> NDArray[np.uint8]:
    """Levels of a mask, (H, W), uint8: no profile is applied, and what is transparent is black.

    Values 0 and 1 of a mask of 16 bits stay so.
    """
    if picture.kind in ("I;16", "I") and (values := np.asarray(picture.image)).max() <= 1:
        return values.astype(np.uint8)
    image, alpha = split(eight_bits(picture))
    if image.mode == "LAB":
        image = profiles.to_srgb(image, profiles.LAB)
    image = image.convert("L")
    return np.asarray(image if alpha is None else on(0, image, alpha))


def eight_bits(picture: Picture) -> Image.Image:
    """The image in its own colors with 8 bits a channel: mode L, LA, RGB, RGBA, CMYK or LAB."""
    image = picture.image
    if picture.deep is not None:
        return Image.fromarray(_to_eight(picture.deep))
    if image.mode in ("I;16", "I", "F"):
        values = np.asarray(image)
        levels = np.rint(values * WHITE).astype(np.uint8) if image.mode == "F" else _to_eight(values)
        if "transparency" not in image.info:
            return Image.fromarray(levels)
        alpha = np.where(values == image.info["transparency"], 0, WHITE).astype(np.uint8)
        return Image.fromarray(np.dstack([levels, alpha]))
    clear = image.has_transparency_data
    if image.mode in ("1", "L", "LA"):
        return _as(image, "LA" if clear else "L")
    if BASES[image.mode] == "RGB":
        return _as(image, "RGBA" if clear else "RGB")
    return image


def _as(image: Image.Image, mode: str) -> Image.Image:
    # A copy: converting a palette with a transparent color changes the palette of the image itself.
    return image if image.mode == mode else image.copy().convert(mode)


def _to_eight(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale 16 bits to 8: v / 257, rounded."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def split(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Split an image into its colors and its alpha, if it has one."""
    if image.mode not in ("LA", "RGBA"):
        return image, None
    *colors, alpha = image.split()
    return Image.merge(image.mode[:-1], colors), alpha


def on(level: int, image: Image.Image, alpha: Image.Image) -> Image.Image:
    """Put colors with alpha on black (0) or white (255)."""
    under = Image.new(image.mode, image.size, (level,) * len(image.getbands()))
    under.paste(image, mask=alpha)
    return under


def _opened(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        if data[4:8] != b"ftyp":
            raise
        if data[8:12] in (b"avif", b"avis"):
            raise ValueError("AVIF needs another build of Pillow") from None
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise ValueError("HEIC is read where pillow-heif is installed: pip install pillow-heif") from None
    register_heif_opener()
    return Image.open(io.BytesIO(data), formats=("HEIF",))


def _picture(image: Image.Image, data: bytes | None) -> Picture:
    """Make the picture of an opened image.

    Args:
        data: the file's bytes; None: all that is known is what Pillow holds.
    """
    notes = []
    if data is not None and getattr(image, "n_frames", 1) > 1:
        notes.append("several pictures in one file, of which the first is used")
    raw = _raw_mode(image)  # before the pixels are loaded, which `getexif` may do
    exif = image.getexif()
    turn = exif.get(ORIENTATION, 1)
    deep = None
    if _is_deep(image, raw):
        if data is None:
            notes.append("16 bits a channel, of which Pillow keeps 8")
        else:
            deep = _deep(data, turn, raw, is_png=image.format == "PNG")
    text = {key: str(value) for key, value in getattr(image, "text", {}).items()}
    upright = _plain(ImageOps.exif_transpose(image))
    _check(upright)
    picture = Picture(upright, deep, exif=exif, text=text, jpeg=_jpeg(image))
    mode = BASES[picture.kind]
    picture = replace(picture, colorless=mode == "L")
    if (profile := image.info.get("icc_profile")) and mode != "LAB":
        if fault := profiles.fault(mode, profile):
            notes.append(f"{fault}: its colors are taken for sRGB")
        elif not profiles.is_srgb(profile):
            picture = replace(picture, profile=profile)
    return replace(picture, notes=tuple(notes))


def _raw_mode(image: Image.Image) -> str:
    """Pillow's name for how a file that has not been loaded holds its pixels; empty for other images."""
    if not (tiles := getattr(image, "tile", None)):
        return ""
    arguments = tiles[0][3]
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def _is_deep(image: Image.Image, raw: str) -> bool:
    """Whether a file has 16 bits a channel where Pillow has 8.

    Raises:
        ValueError: there is no rule for its depth.
    """
    of_sixteen = ";16" in raw and image.mode in ("RGB", "RGBA", "CMYK")
    if (of_sixteen and raw[: raw.index(";16") + 3] not in DEEP) or raw == "I;12":
        raise ValueError(f"pixels of the kind {raw}")
    tags = getattr(image, "tag_v2", {})
    if image.mode.startswith("I;16") and tags.get(PHOTOMETRIC) == 0:
        raise ValueError("16 bits with white as 0")
    if tags.get(PLANES) == 2 and max(tags.get(BITS, (8,))) > 8:
        raise ValueError("16 bits in separate planes")
    if image.mode == "L" and 2 in tags.get(SAMPLES, ()):
        raise ValueError("signed values of 8 bits")
    return of_sixteen


def _deep(data: bytes, turn: int, raw: str, *, is_png: bool) -> NDArray[np.uint16]:
    """Decode 16 bits a channel with OpenCV: (H, W, C), upright, in the order of `DEEP`."""
    import cv2

    logging = cv2.utils.logging
    level = logging.setLogLevel(logging.LOG_LEVEL_ERROR)  # it warns of what it then reads well
    try:
        found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    finally:
        logging.setLogLevel(level)
    if found is None or found.dtype != np.uint16 or found.ndim != 3:
        raise ValueError("16 bits a channel that OpenCV does not read")
    order = [0, 3] if raw.startswith("LA") else [2, 1, 0, 3][: found.shape[2]]  # OpenCV has BGR
    values = found[:, :, order]
    if is_png:  # a TIFF has been turned by OpenCV
        values = _TURNS.get(turn, lambda upright: upright)(values)
    return np.ascontiguousarray(values, dtype=np.uint16)


_TURNS = {
    2: lambda values: values[:, ::-1],
    3: lambda values: values[::-1, ::-1],
    4: lambda values: values[::-1],
    5: lambda values: values.swapaxes(0, 1),
    6: lambda values: values.swapaxes(0, 1)[:, ::-1],
    7: lambda values: values.swapaxes(0, 1)[::-1, ::-1],
    8: lambda values: values.swapaxes(0, 1)[::-1],
}


def _plain(image: Image.Image) -> Image.Image:
    """The image with 16 bits of gray in one mode, whatever their order of bytes, and no third value in two."""
    if image.mode == "1" and image.has_transparency_data:
        return image.convert("LA")
    if image.mode not in ("I;16B", "I;16L", "I;16N"):
        return image
    plain = Image.frombytes("I;16", image.size, np.asarray(image).astype("<u2").tobytes())
    plain.info = image.info
    return plain


def _check(image: Image.Image) -> None:
    """Raise a ValueError where it is not known what the values of an image mean."""
    if image.mode not in BASES:
        raise ValueError(f"mode {image.mode}")
    if image.mode in ("I", "F"):
        values = np.asarray(image)
        what, most = ("floats", 1) if image.mode == "F" else ("integers of 32 bits", 65535)
        low, high = values.min(), values.max()
        if not (low >= 0 and high <= most):  # neither is true of NaN
            raise ValueError(f"{what} from {low:g} to {high:g}, not from 0 to {most}")


def _jpeg(image: Image.Image) -> dict[str, Any]:
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        return {}
    sampling = JpegImagePlugin.get_sampling(image)
    return {
        "qtables": image.quantization,
        "subsampling": 0 if sampling == -1 else sampling,  # 0 is 4:4:4; −1: unknown, or no colors
        "progressive": bool(image.info.get("progressive")),
    }


def _kind_of(deep: NDArray[np.uint16]) -> str:
    return next(kind for kind, channels in DEEP.items() if channels == deep.shape[2])
