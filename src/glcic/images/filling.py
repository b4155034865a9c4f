"""A completed hole in the photo's own mode, depth, profile and palette; outside the hole, the photo's very pixels."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glcic.images import profiles
from glcic.images.reader import BASES, WHITE, Picture, eight_bits


def fill(picture: Picture, completed: NDArray[np.uint8], hole: NDArray[np.uint8]) -> Picture:
    """Put a completion into the hole of a picture, which is opaque there afterwards.

    Args:
        picture: the picture, of H×W pixels.
        completed: (H, W, 3), sRGB; outside the hole it may be anything.
        hole: (H, W), 1 in the hole, which is not empty.

    Returns:
        The picture with the hole filled; all else is as it was.
    """
    where = Image.fromarray(hole == 1)
    box = where.getbbox()
    assert box is not None
    patch, where = Image.fromarray(completed).crop(box), where.crop(box)
    if picture.deep is not None:
        return _filled_deep(picture, patch, where, box)
    image = picture.image.copy()
    image.paste(_in_mode(picture, patch), box, where)
    return replace(picture, image=image)


def _filled_deep(picture: Picture, patch: Image.Image, where: Image.Image, box: tuple[int, int, int, int]) -> Picture:
    assert picture.deep is not None
    deep = picture.deep.copy()
    left, top, right, bottom = box
    part = deep[top:bottom, left:right]
    values = np.asarray(_in_base(picture, patch), dtype=np.uint16).reshape(*part.shape[:2], -1) * 257
    if part.shape[2] in (2, 4):
        values = np.dstack([values, np.full(part.shape[:2], 65535, np.uint16)])
    part[:] = np.where(np.asarray(where)[..., None], values, part)
    filled = replace(picture, deep=deep)
    image = eight_bits(filled)
    image.info = picture.image.info
    return replace(filled, image=image)


def _in_mode(picture: Picture, patch: Image.Image) -> Image.Image:
    """The patch, which is in sRGB, in the picture's mode and colors, opaque."""
    mode = picture.image.mode
    patch = _in_base(picture, patch)
    if mode == "P":
        return _in_palette(picture.image, patch)
    if mode in ("LA", "RGBA"):
        patch.putalpha(WHITE)
        return patch
    if mode in ("1", "YCbCr"):
        return patch.convert(mode, dither=Image.Dither.NONE)
    values: NDArray[Any] = np.asarray(patch)
    if mode == "F":
        values = values.astype(np.float32) / WHITE
    elif mode in ("I;16", "I"):
        values = values.astype("<u2" if mode == "I;16" else np.int32) * 257
    if (key := picture.image.info.get("transparency")) is not None:
        values = _without(key, values)
    return Image.frombytes(mode, patch.size, values.tobytes())


def _in_base(picture: Picture, patch: Image.Image) -> Image.Image:
    """The patch in the colors of the picture: mode L, RGB, CMYK or LAB."""
    base = BASES[picture.kind]
    if picture.colorless:
        patch = patch.convert("L").convert("RGB")
    profile = profiles.LAB if base == "LAB" else picture.profile
    return patch.convert(base) if profile is None else profiles.from_srgb(patch, profile, base)


def _in_palette(image: Image.Image, patch: Image.Image) -> Image.Image:
    """The nearest opaque colors of the image's palette."""
    from scipy.spatial import KDTree

    palette = np.array(image.getpalette("RGBA")).reshape(-1, 4)
    clear = image.info.get("transparency", b"")
    if isinstance(clear, int):
        palette[clear, 3] = 0
    else:
        palette[: len(clear), 3] = list(clear)
    usable = np.flatnonzero(palette[:, 3] == palette[:, 3].max())
    _, nearest = KDTree(palette[usable, :3]).query(np.asarray(patch).reshape(-1, 3))
    return Image.frombytes("P", patch.size, usable[nearest].astype(np.uint8).tobytes())


def _without(key: int | tuple[int, ...], values: NDArray[Any]) -> NDArray[Any]:
    """Move pixels whose color stands for transparency by one level."""
    channels = values.reshape(*values.shape[:2], -1).copy()
    channels[(channels == np.array(key)).all(axis=-1), -1] ^= 1
    return channels
