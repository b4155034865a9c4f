"""Masks from image files, white in the hole."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glcic.errors import UserError
from glcic.files import digest_of_files, read_image
from glcic.masks.geometry import Masks

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}


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
    """Read all masks of a folder in the order of their names; pixels of at least 128 are in the hole.

    Masks of another size are resized by nearest-neighbor interpolation.

    Args:
        folder: the folder of masks.
        size: side S of the masks in pixels.

    Returns:
        (M, 1, S, S), uint8, 1 in the hole.

    Raises:
        UserError: there are no masks, or a mask is unreadable, is not square, has no hole, or is all hole.
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
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise UserError(f"{folder}: no masks; put PNG, JPEG or WebP files there, white where the hole is")
    return paths


def _read(path: Path, size: int) -> NDArray[np.uint8]:
    from PIL import Image

    gray = read_image(path, "L", "save it as PNG, or remove it")
    if gray.width != gray.height:
        raise UserError(f"{path}: {gray.width}×{gray.height} pixels; make it square, or remove it")
    if gray.width != size:
        gray = gray.resize((size, size), Image.Resampling.NEAREST)
    hole = (np.asarray(gray) >= 128).astype(np.uint8)
    if not hole.any():
        raise UserError(f"{path}: nothing is white at {size}×{size} pixels; paint the hole white, or remove it")
    if hole.all():
        raise UserError(f"{path}: everything is white at {size}×{size} pixels; leave some black, or remove it")
    return hole
