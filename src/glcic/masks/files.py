"""Folders of masks: image files, white in the hole. Files whose names begin with a dot are ignored."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glcic.errors import UserError
from glcic.files import digest_of_files
from glcic.masks.geometry import Masks
from glcic.masks.rules import TooLarge, check_hole, hole_of, percent

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif"}


def read_masks(folder: Path, sha256: str, field: str, size: int) -> Masks:
    """Read the masks of a folder and check their digest.

    Args:
        folder: the folder of masks.
        sha256: the expected digest, as of `folder_digest`.
        field: field of params.yaml that holds the digest, named in errors.
        size: side S of the masks in pixels.

    Returns:
        (M, 1, S, S), uint8, 1 in the hole.

    Raises:
        UserError: there are no masks, a mask is bad, or the digest differs.
    """
    if (found := folder_digest(folder)) != sha256:
        raise UserError(f"{folder}: its masks are not those of {field}; if they are meant, set it to {found}")
    return mask_files(folder, size)


def mask_files(folder: Path, size: int) -> Masks:
    """Read all masks of a folder in the order of their names; what is hole, `glcic.masks.rules` says.

    Masks of another size are resized by nearest-neighbor interpolation.

    Args:
        folder: the folder of masks.
        size: side S of the masks in pixels.

    Returns:
        (M, 1, S, S), uint8, 1 in the hole.

    Raises:
        UserError: there are no masks, or a mask is unreadable, not square, or none by `glcic.masks.rules`.
    """
    return np.stack([_read(path, size) for path in _mask_paths(folder)])[:, None]


def folder_digest(folder: Path) -> str:
    """SHA-256 of the names and contents of a folder's masks; other files are ignored.

    Raises:
        UserError: there are no masks.
    """
    return digest_of_files(_mask_paths(folder))


def _mask_paths(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name one with masks in PNG, JPEG or WebP")
    paths = sorted(
        path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )
    if not paths:
        raise UserError(f"{folder}: no masks; put PNG, JPEG or WebP files there, white where the hole is")
    return paths


def _read(path: Path, size: int) -> NDArray[np.uint8]:
    from PIL import Image

    from glcic.images.reader import gray, read

    levels = gray(read(path, "save it as PNG, or remove it"))
    height, width = levels.shape
    if width != height:
        raise UserError(f"{path}: {width}×{height} pixels; make it square, or remove it")
    try:
        hole = hole_of(levels)
        check_hole(hole)
        if width != size:
            hole = np.asarray(Image.fromarray(hole).resize((size, size), Image.Resampling.NEAREST))
            check_hole(hole, allow_large=True)  # of so few pixels that nothing, or nothing else, may be left
    except TooLarge as error:
        share = percent(error.share)
        raise UserError(f"{path}: covers {share} of the image; is it inverted? invert it, or remove it") from None
    except ValueError as error:
        scaled = "" if width == size else f", scaled to {size}×{size} pixels"
        raise UserError(f"{path}{scaled}: {error}, or remove it") from None
    return hole
