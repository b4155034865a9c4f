"""The writer of completed photos: the photo's own mode, depth, colors and metadata, as far as the format has them.

docs/images.md has the table of formats. All but JPEG come back exactly; a JPEG is compressed as the photo's file was.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glcic.images.formats import COMMENT, EXIF, GIF, JPEG, PNG, PROFILE, RESOLUTION, TEXT, TIFF, WEBP, XMP, Format
from glcic.images.metadata import dpi_of, exif_bytes, lost, png_chunks, texts_of, xmp_of
from glcic.images.reader import Picture

NEW_JPEG = {"quality": 95, "subsampling": 0}  # 4:4:4, where the photo was no JPEG
LONGEST = 65_000  # bytes of metadata of one kind that a JPEG holds
PNG_COLOR_TYPES = {2: 4, 3: 2, 4: 6}  # by the number of channels
XMP_TAG = 700  # of a TIFF
PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")  # a PNG's chunks that are no metadata


def write(picture: Picture, form: Format, path: Path) -> list[str]:
    """Write a picture that the format can hold.

    Args:
        picture: as `glcic.images.formats.adapted` gives it.
        form: the format.
        path: the file to write.

    Returns:
        What of its metadata was not written, in words.
    """
    found, missing = _metadata(picture, form)
    if picture.deep is not None:
        if form is PNG:
            path.write_bytes(_png(picture.deep, found))
        else:
            _write_tiff(path, picture.deep, found)
            missing += ["EXIF and XMP data, beside 16 bits"] if "exif" in found else []
        return missing
    image = picture.image.copy()
    image.info = {}
    if (key := picture.image.info.get("transparency")) is not None:
        found["transparency"] = key
    image.save(path, form.name, **_compression(picture, form, found), **found)
    return missing


def _compression(picture: Picture, form: Format, found: dict[str, Any]) -> dict[str, Any]:
    if form is JPEG:
        return picture.jpeg or NEW_JPEG
    if form is WEBP:
        return {"lossless": True, "exact": True}  # exact: colors behind alpha 0, too
    if form is TIFF:  # Pillow's compression lets go of EXIF data, and of colors in YCbCr
        return {} if "exif" in found or picture.kind == "YCbCr" else {"compression": "tiff_deflate"}
    return {"optimize": False} if form is GIF else {}  # optimization would renumber the palette


def _metadata(picture: Picture, form: Format) -> tuple[dict[str, Any], list[str]]:
    """Options of Pillow for what the format holds beside pixels, and what the photo has beyond that, in words."""
    info, missing = picture.image.info, lost(picture)
    try:
        exif = exif_bytes(picture)
    except ValueError:
        exif = None
        missing.append(f"its {EXIF}, which are damaged")
    xmp = xmp_of(picture)
    there: dict[str, Any] = {
        PROFILE: info.get("icc_profile"),
        EXIF: exif,
        XMP: xmp,
        RESOLUTION: dpi_of(picture),
        COMMENT: info.get("comment"),
        TEXT: texts_of(picture),
    }
    for what in (EXIF, XMP, COMMENT):
        if form is JPEG and there[what] and len(there[what]) > LONGEST:
            there[what] = None
            missing.append(f"{what}, too long for a JPEG")
    missing += [what for what in (EXIF, XMP, COMMENT, TEXT) if there[what] and what not in form.holds]
    there = {what: value for what, value in there.items() if what in form.holds and value}
    names = {PROFILE: "icc_profile", EXIF: "exif", RESOLUTION: "dpi", COMMENT: "comment"}
    found = {names[what]: value for what, value in there.items() if what in names}
    if form is PNG:
        found["pnginfo"] = png_chunks(picture, xmp)
    elif form is TIFF and XMP in there:  # one of the tags there, which Pillow takes from the EXIF data alone
        found["exif"] = tags = Image.Exif()
        tags.load(exif or b"")
        tags[XMP_TAG] = xmp
    elif XMP in there:
        found["xmp"] = xmp
    return found, missing


def _png(deep: NDArray[np.uint16], found: dict[str, Any]) -> bytes:
    """Encode 16 bits a channel, which Pillow does not; the metadata are those that it writes for one pixel."""
    height, width, channels = deep.shape
    small = io.BytesIO()
    Image.new("RGB", (1, 1)).save(small, "PNG", **found)
    rows = deep.astype(">u2").view(np.uint8).reshape(height, -1)
    change = np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1]))  # each row less the one above: filter 2
    filtered = np.hstack([np.full((height, 1), 2, np.uint8), change])
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, PNG_COLOR_TYPES[channels], 0, 0, 0)),
            *(_chunk(name, data) for name, data in _chunks(small.getvalue()) if name not in PIXELS),
            _chunk(b"IDAT", zlib.compress(filtered.tobytes())),
            _chunk(b"IEND", b""),
        ]
    )


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    start = 8
    while start < len(png):
        (length,) = struct.unpack_from(">I", png, start)
        yield png[start + 4 : start + 8], png[start + 8 : start + 8 + length]
        start += 12 + length


def _write_tiff(path: Path, deep: NDArray[np.uint16], found: dict[str, Any]) -> None:
    """Write 16 bits a channel, which Pillow does not."""
    from tifffile import imwrite

    imwrite(
        path,
        deep,
        photometric="rgb",
        extrasamples=["unassalpha"] if deep.shape[2] == 4 else None,
        compression="zlib",
        iccprofile=found.get("icc_profile"),
        resolution=found.get("dpi"),
        resolutionunit="INCH",
        metadata=None,
    )
