"""Any folder or zip of images, converted into the common layout."""

import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from glcic.data.sources import celeba_layout as layout
from glcic.data.sources.contents import Contents, opened, remember_contents, sha256_of_bytes
from glcic.data.sources.memory import listing_of
from glcic.errors import UserError, full_disk_explained
from glcic.files import atomic
from glcic.paths import SPLITS

UNUSABLE = re.compile("[\r\n\ud800-\udfff]")  # line breaks, and bytes that are not UTF-8


def gather_images(
    folder: Path,
    *,
    source: Path,
    split_ratios: tuple[float, float, float],
    split_file: Path | None,
    seed: int,
    digest: str | None,
) -> Contents:
    """Write a zip of all images of a source, and their partition file, into a folder.

    The zip stores the images' bytes unchanged; the same images always and everywhere give the same zip.

    Args:
        folder: an existing folder for the result.
        source: a folder, searched recursively, or a zip.
        split_ratios: shares of (train, val, test), at which a random permutation is cut; unused with `split_file`.
        split_file: a partition file with the split of every image.
        seed: seed of the permutation.
        digest: MD5 that the resulting zip must have; None accepts any.

    Returns:
        Contents of the images in the zip.

    Raises:
        UserError: there are no images, an image cannot be read or has no row in `split_file`, a split is empty, the
            MD5 differs, or the disk is full.
    """
    with opened(source) as (found, read):
        names, listing = _usable(found, source), listing_of(source)
        splits = _drawn(names, split_ratios, seed) if split_file is None else _listed(names, split_file)
        _refuse_empty(splits, "download.image_folder.split_ratios" if split_file is None else str(split_file))

        with full_disk_explained(folder):
            with atomic(folder / layout.IMAGES) as temporary:
                digests = _pack(temporary, names, read)
                _check_digest(temporary, digest, source)
            layout.write_partition(folder, splits)
    return remember_contents(source, listing, digests)


def _usable(names: list[str], source: Path) -> list[str]:
    """Check that there are names and that each fits on a line of UTF-8 text; returns the names."""
    if not names:
        kinds = ", ".join(sorted(layout.SUFFIXES))
        raise UserError(f"{source} holds no images ({kinds}): name another with GLCIC_IMAGES or runtime.image_folder")
    for name in names:
        if UNUSABLE.search(name):
            raise UserError(f"{source}: {name!r} has a line break or is not UTF-8; rename the image")
    return names


def _drawn(names: Sequence[str], split_ratios: tuple[float, float, float], seed: int) -> dict[str, int]:
    """Split of every name, from a seeded permutation cut at the split_ratios."""
    cuts = np.rint(np.cumsum(split_ratios)[:-1] * len(names))
    order = np.random.default_rng(seed).permutation(len(names))
    splits = np.searchsorted(cuts, order, side="right")
    return dict(zip(names, splits.tolist(), strict=True))


def _listed(names: Sequence[str], split_file: Path) -> dict[str, int]:
    """Split of every name, from the partition file."""
    rows = layout.read_partition(split_file)
    return {name: layout.split_of(name, rows, file=split_file) for name in names}


def _refuse_empty(splits: Mapping[str, int], origin: str) -> None:
    for split, word in enumerate(SPLITS):
        if split not in splits.values():
            count = len(splits)
            raise UserError(f"none of {count} images is in the {word} split: add images, or change {origin}")


def _pack(path: Path, names: Sequence[str], read: Callable[[str], bytes]) -> dict[str, str]:
    """Write a zip, image by image; its bytes do not depend on time, platform or the order of files on disk.

    Returns:
        SHA-256 of each image by its name.
    """
    digests = {}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in names:
            image = read(name)
            archive.writestr(layout.member(name, 0o644), image)
            digests[name] = sha256_of_bytes(image)
    return digests


def _check_digest(path: Path, digest: str | None, source: Path) -> None:
    if digest is None:
        return
    found = layout.md5_of(path)
    if found != digest:
        raise UserError(
            f"the images of {source}, packed, have the MD5 {found}, expected {digest}: use the intended "
            f"images, or set download.image_folder.zip_md5: {found}"
        )
