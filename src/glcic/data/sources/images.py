"""Any folder or zip of images, brought into the common layout."""

import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from glcic.data.sources import raw
from glcic.errors import UserError, full_disk_explained
from glcic.files import atomic
from glcic.paths import SPLITS

UNUSABLE = re.compile("[\r\n\ud800-\udfff]")  # line breaks, and bytes that are not UTF-8


def gather_images(
    folder: Path,
    *,
    source: Path,
    ratios: tuple[float, float, float],
    partition: Path | None,
    seed: int,
    digest: str | None,
) -> None:
    """Put all images of `source`, a folder (searched recursively) or a zip, with a partition into `folder`.

    The zip has the same bytes wherever and whenever it is made of the same images, and keeps theirs.
    Splits are those of the file `partition`; without one, a permutation drawn from `seed` is cut at `ratios`,
    the shares of (train, val, test). `digest` is the MD5 that the resulting zip must have.

    Raises UserError if there is no image, an image cannot be read or has no row in `partition`, a split stays
    empty, the digest differs or the disk is full.
    """
    with _opened(source) as (names, read):
        splits = _drawn(names, ratios, seed) if partition is None else _listed(names, partition)
        _refuse_empty(splits, "download.images.ratios" if partition is None else str(partition))

        with full_disk_explained(folder):
            with atomic(folder / raw.IMAGES) as temporary:
                _pack(temporary, names, read)
                _check_digest(temporary, digest, source)
            raw.write_partition(folder, splits)


@contextmanager
def _opened(source: Path) -> Iterator[tuple[list[str], Callable[[str], bytes]]]:
    """The sorted names of the images in a folder or zip, and a function that reads one of them."""
    if source.is_dir():
        files = (path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file())
        names = sorted(name for name in files if raw.is_image(name))
        yield _usable(names, source), lambda name: (source / name).read_bytes()
    elif source.is_file():
        names = raw.members(source)
        with zipfile.ZipFile(source) as archive:
            yield _usable(names, source), archive.read
    else:
        raise UserError(f"{source} does not exist: name a folder or a zip by GLCIC_IMAGES or runtime.images")


def _usable(names: list[str], source: Path) -> list[str]:
    """The names, once it is sure that there are some and that a line of UTF-8 text can hold each."""
    if not names:
        kinds = ", ".join(sorted(raw.SUFFIXES))
        raise UserError(f"{source} holds no images ({kinds}): name another by GLCIC_IMAGES or runtime.images")
    for name in names:
        if UNUSABLE.search(name):
            raise UserError(f"{source}: {name!r} has a line break or is not UTF-8; rename the image")
    return names


def _drawn(names: Sequence[str], ratios: tuple[float, float, float], seed: int) -> dict[str, int]:
    """A split for every name: a seeded permutation, cut at the ratios."""
    cuts = np.rint(np.cumsum(ratios)[:-1] * len(names))
    order = np.random.default_rng(seed).permutation(len(names))
    splits = np.searchsorted(cuts, order, side="right")
    return dict(zip(names, splits.tolist(), strict=True))


def _listed(names: Sequence[str], partition: Path) -> dict[str, int]:
    """A split for every name: the one in the partition file."""
    rows = raw.read_partition(partition)
    return {name: raw.split_of(name, rows, file=partition) for name in names}


def _refuse_empty(splits: Mapping[str, int], origin: str) -> None:
    for split, word in enumerate(SPLITS):
        if split not in splits.values():
            count = len(splits)
            raise UserError(f"none of {count} images is in the {word} split: give more, or change {origin}")


def _pack(path: Path, names: Sequence[str], read: Callable[[str], bytes]) -> None:
    """Write a zip, image by image; nothing in it depends on time, platform or the order on disk."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in names:
            try:
                image = read(name)
            except raw.UNREADABLE as error:
                raise UserError(f"the image {name} cannot be read ({error}): mend or remove it") from error
            archive.writestr(raw.member(name, 0o644), image)


def _check_digest(path: Path, digest: str | None, source: Path) -> None:
    if digest is None:
        return
    found = raw.md5_of(path)
    if found != digest:
        raise UserError(
            f"the images of {source}, packed, have the MD5 {found}, expected {digest}: give the images that "
            f"were meant, or set download.images.zip_md5: {found}"
        )
