"""Contents of a folder or zip of images, known by one digest wherever they lie."""

import hashlib
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from glcic.data.sources import celeba_layout as layout
from glcic.data.sources.memory import Listing, keep, listing_of, recall, remember, remembered
from glcic.errors import UserError


@dataclass(frozen=True)
class Contents:
    """What images are, whatever folder or zip holds them.

    Attributes:
        number: number of images.
        sha256: SHA-256 over their sorted relative names, each followed by the SHA-256 of its content.
    """

    number: int
    sha256: str

    @classmethod
    def of(cls, digests: Mapping[str, str]) -> "Contents":
        """Contents of images, from the SHA-256 of each by its name."""
        digest = hashlib.sha256()
        for name in sorted(digests):
            digest.update(name.encode("utf-8", "surrogateescape") + b"\0" + bytes.fromhex(digests[name]))
        return cls(len(digests), digest.hexdigest())

    def __str__(self) -> str:
        return f"{self.sha256[:12]}…, {self.number:,} images"


@contextmanager
def opened(source: Path) -> Iterator[tuple[list[str], Callable[[str], bytes]]]:
    """Sorted names of the images in a folder or zip, and a function that reads one of them.

    Raises:
        UserError: the source does not exist, is not a readable zip, or an image cannot be read.
    """
    if source.is_dir():
        yield sorted(listing_of(source).stamps), _explained(lambda name: (source / name).read_bytes())
    elif source.is_file():
        names = layout.members(source)
        with zipfile.ZipFile(source) as archive:
            yield names, _explained(archive.read)
    else:
        raise UserError(f"{source} does not exist: name a folder or a zip with GLCIC_IMAGES or runtime.image_folder")


def _explained(read: Callable[[str], bytes]) -> Callable[[str], bytes]:
    def explained(name: str) -> bytes:
        try:
            return read(name)
        except layout.UNREADABLE as error:
            raise UserError(f"the image {name} cannot be read ({error}): repair or remove it") from error

    return explained


def contents_of(source: Path) -> Contents:
    """Contents of an existing folder or zip; only images whose size or times have changed are read.

    Raises:
        UserError: the zip or an image cannot be read.
    """
    listing = listing_of(source)

    def read_all() -> list[Any]:
        before = recall(source, "images") or {}
        with opened(source) as (names, read):
            bar = tqdm(names, "compare the images", unit="image", disable=None)
            digests = {name: _as_before(before, listing, name) or sha256_of_bytes(read(name)) for name in bar}
        return _kept(source, listing, digests)

    return Contents(*remembered(source, "contents", listing, read_all))


def remember_contents(source: Path, listing: Listing, digests: Mapping[str, str]) -> Contents:
    """Remember the images of a source that have been read.

    Args:
        source: the folder or zip.
        listing: its files, listed before any of them was read.
        digests: SHA-256 of each image by its name.
    """
    value = _kept(source, listing, digests)
    remember(source, "contents", listing, value)
    return Contents(*value)


def sha256_of_bytes(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _as_before(before: Mapping[str, list[Any]], listing: Listing, name: str) -> str | None:
    """SHA-256 of an image whose stamp is as it was before; None of any other."""
    *stamp, sha256 = before.get(name, [None])
    return sha256 if listing.stamps.get(name) == tuple(stamp) else None


def _kept(source: Path, listing: Listing, digests: Mapping[str, str]) -> list[Any]:
    """Keep the stamp and SHA-256 of each image of a folder, and return the contents as plain data."""
    settled = {name: sha256 for name, sha256 in digests.items() if name in listing.stamps and listing.settled(name)}
    if settled:
        keep(source, "images", {name: [*listing.stamps[name], sha256] for name, sha256 in settled.items()})
    return list(astuple(Contents.of(digests)))
