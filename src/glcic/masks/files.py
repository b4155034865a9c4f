"""Masks from image files: white where the hole is."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glcic.errors import UserError
from glcic.files import digest_of_files, read_image
from glcic.masks.geometry import Masks

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}


def read_masks(folder: Path, sha256: str, field: str, size: int) -> Masks:
    """The masks of a folder that the parameters name with its digest: (M, 1, S, S).

    Args:
        field: of params.yaml that holds the digest, named in errors.

    Raises:
        UserError: there are none, one is no mask, or they are not those that were meant.
    """
    if (found := folder_digest(folder)) != sha256:
        raise UserError(f"{folder}: its masks are not those of {field}; if they are meant, set it to {found}")
    return mask_files(folder, size)


def mask_files(folder: Path, size: int) -> Masks:
    """All masks of a folder, in the order of their names: white, from 128 on, is the hole.

    Masks of another size are resized to the nearest pixel.

    Raises:
        UserError: there are none, or one can't be read, is not square, or is all hole or has none.
    """
    return np.stack([_read(path, size) for path in _mask_paths(folder)])[:, None]


def folder_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of a folder's masks; other files don't count.

    Raises:
        UserError: there are none.
    """
    return digest_of_files(_mask_paths(folder))


def _mask_paths(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name one with masks in PNG, JPEG or WebP")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise UserError(f"{folder}: no masks; put PNG, JPEG or WebP files there, white where the hole is")
    return paths


def _read(path: Path, size: int) -> NDArray[np.uint8]:
    from PIL import Image

    grey = read_image(path, "L", "save it as PNG, or remove it")
    if grey.width != grey.height:
        raise UserError(f"{path}: {grey.width}×{grey.height} pixels; make it square, or remove it")
    if grey.width != size:
        grey = grey.resize((size, size), Image.Resampling.NEAREST)
    hole = (np.asarray(grey) >= 128).astype(np.uint8)
    if not hole.any():
        raise UserError(f"{path}: nothing is white at {size}×{size} pixels; paint the hole white, or remove it")
    if hole.all():
        raise UserError(f"{path}: everything is white at {size}×{size} pixels; leave some black, or remove it")
    return hole
