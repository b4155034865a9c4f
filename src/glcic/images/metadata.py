"""Metadata of a photo that can go with its completion: nothing that shows what was under the hole."""

import re
import struct
from typing import Any

from PIL import ExifTags, Image, PngImagePlugin

from glcic.images.reader import Picture

Base, Ifd = ExifTags.Base, ExifTags.IFD
# What describes the photo. All else there says how the file's own bytes are laid out, or may be a picture.
KEPT = (
    *(Base.ImageDescription, Base.Make, Base.Model, Base.XResolution, Base.YResolution, Base.ResolutionUnit),
    *(Base.Software, Base.DateTime, Base.Artist, Base.HostComputer, Base.Copyright, Base.Rating),
    *(Base.XPTitle, Base.XPComment, Base.XPAuthor, Base.XPKeywords, Base.XPSubject),
)
APART = (Base.MakerNote, Base.ExifInteroperabilityOffset)  # in cameras' own formats, often with a preview; not needed
IPTC, PHOTOSHOP = 33723, 34377  # tags of a TIFF
TURNED = (rb'tiff:Orientation="[0-9]"', rb"<tiff:Orientation>[0-9]</tiff:Orientation>")
SHOWS = re.compile(rb"Thumbnails|GImg|GImage|GDepth")  # XMP's names for pictures within it
XMP_IN_PNG = "XML:com.adobe.xmp"


def exif_of(picture: Picture) -> Image.Exif:
    """EXIF data without orientation, thumbnail and maker note; the size is the picture's."""
    kept = Image.Exif()
    for tag in KEPT:
        if tag in picture.exif:
            kept[tag] = picture.exif[tag]
    details = {tag: value for tag, value in picture.exif.get_ifd(Ifd.Exif).items() if tag not in APART}
    for tag, length in zip((Base.ExifImageWidth, Base.ExifImageHeight), picture.image.size, strict=True):
        if tag in details:
            details[tag] = length
    for ifd, values in ((Ifd.Exif, details), (Ifd.GPSInfo, picture.exif.get_ifd(Ifd.GPSInfo))):
        if values:
            kept.get_ifd(ifd).update(values)
    return kept


def exif_bytes(picture: Picture) -> bytes | None:
    """The EXIF data to be written, if there are any.

    Raises:
        ValueError: they are damaged.
    """
    kept = exif_of(picture)
    if not len(kept) and not kept.get_ifd(Ifd.Exif) and not kept.get_ifd(Ifd.GPSInfo):
        return None
    try:
        return kept.tobytes()
    except (struct.error, TypeError, AttributeError, OverflowError, UnicodeError) as error:
        raise ValueError(str(error)) from None


def xmp_of(picture: Picture) -> bytes | None:
    """XMP data without the orientation; None if there are none, or if they hold a picture."""
    found = picture.image.info.get("xmp") or picture.image.info.get(XMP_IN_PNG)
    if not found:
        return None
    xmp = found.encode() if isinstance(found, str) else bytes(found)
    for pattern in TURNED:
        xmp = re.sub(pattern, b"", xmp)
    return None if SHOWS.search(xmp) else xmp


def dpi_of(picture: Picture) -> tuple[float, float] | None:
    """Resolution in pixels per inch, where it is known."""
    found: Any = picture.image.info.get("dpi")
    try:
        x, y = (float(value) for value in found)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (x, y) if 0 < x < 1e6 and 0 < y < 1e6 else None


def png_chunks(picture: Picture, xmp: bytes | None) -> PngImagePlugin.PngInfo:
    """Text, XMP, and what a PNG without a profile says of its colors."""
    chunks = PngImagePlugin.PngInfo()
    info = picture.image.info
    if "gamma" in info:
        chunks.add(b"gAMA", struct.pack(">I", round(100_000 * info["gamma"])))
    if "chromaticity" in info:
        chunks.add(b"cHRM", struct.pack(">8I", *(round(100_000 * value) for value in info["chromaticity"])))
    if "srgb" in info:
        chunks.add(b"sRGB", struct.pack(">B", info["srgb"]))
    for key, text in texts_of(picture).items():
        chunks.add_text(key, text)
    if xmp is not None:
        chunks.add_itxt(XMP_IN_PNG, xmp.decode("utf-8", "replace"))
    return chunks


def texts_of(picture: Picture) -> dict[str, str]:
    """The text of a PNG, without metadata that are hidden in it."""
    return {
        key: text for key, text in picture.text.items() if key != XMP_IN_PNG and not key.startswith("Raw profile type")
    }


def lost(picture: Picture) -> list[str]:
    """Metadata that no format is given."""
    named = {
        "IPTC data": "photoshop" in picture.image.info or bool({IPTC, PHOTOSHOP} & set(picture.exif)),
        "the maker note": Base.MakerNote in picture.exif.get_ifd(Ifd.Exif),
        "XMP data with a picture in them": bool(picture.image.info.get("xmp")) and xmp_of(picture) is None,
    }
    return [name for name, there in named.items() if there]
