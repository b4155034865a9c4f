"""Digests of the user's files, remembered in `.glcic/sources/` for as long as their sizes and times stay.

Listing 200,000 files takes a second or two, reading them minutes. If the memory is lost or damaged, they are read anew.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glcic.data.sources import celeba_layout as layout
from glcic.files import write_text
from glcic.paths import STATE_DIR

FOLDER = STATE_DIR / "sources"
# A file younger than this may be written once more without another time, where the clock of its file system is coarse.
SETTLED = 2 * 10**9  # nanoseconds

Stamp = tuple[int, int, int]  # size in bytes; times of the last change of its content and of the file, in nanoseconds


@dataclass(frozen=True)
class Listing:
    """Files as the file system lists them, unread.

    Attributes:
        taken: when listing began, in nanoseconds since 1970.
        stamps: stamp of each file by its relative name, with forward slashes; a single file has the name "".
    """

    taken: int
    stamps: dict[str, Stamp]

    @property
    def digest(self) -> str:
        """SHA-256 of names and stamps."""
        return _sha256(json.dumps(sorted(self.stamps.items())))

    def settled(self, name: str) -> bool:
        """Whether a file is old enough for its stamp to tell its content."""
        return max(self.stamps[name][1:]) < self.taken - SETTLED


def listing_of(path: Path, wanted: Callable[[str], bool] = layout.has_suffix) -> Listing:
    """List a file, or the files of a folder and its subfolders that are neither hidden nor macOS metadata.

    Args:
        path: an existing file or folder.
        wanted: decides by the name which files of a folder count; images, unless given.
    """
    taken = time.time_ns()
    if path.is_dir():
        return Listing(taken, {name: _stamp(status) for name, status in _files(str(path), "", wanted)})
    return Listing(taken, {"": _stamp(path.stat())})


def _files(folder: str, prefix: str, wanted: Callable[[str], bool]) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if layout.is_hidden(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path, f"{prefix}{entry.name}/", wanted)
            elif wanted(entry.name) and entry.is_file():
                yield prefix + entry.name, entry.stat()


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def remembered(path: Path, what: str, listing: Listing, compute: Callable[[], Any]) -> Any:
    """A value that follows from the contents of files: the remembered one if all files are as they were.

    Args:
        path: the file or folder.
        what: name of the value.
        listing: the files, listed before any of them is read.
        compute: gives the value, as plain data.
    """
    known = recall(path, what)
    if known is not None and known["listing"] == listing.digest:
        return known["value"]
    value = compute()
    remember(path, what, listing, value)
    return value


def remember(path: Path, what: str, listing: Listing, value: Any) -> None:
    """Remember a value of files that were listed before they were read, unless one of them is too young."""
    if all(map(listing.settled, listing.stamps)):
        keep(path, what, {"listing": listing.digest, "value": value})


def recall(path: Path, what: str) -> Any:
    """What was kept under a name for a file or folder; None if nothing was, or if it is damaged."""
    try:
        digest, text = _place(path, what).read_text(encoding="utf-8").split("\n", 1)
    except (OSError, ValueError):  # UnicodeDecodeError is a ValueError
        return None
    return json.loads(text) if digest == _sha256(text) else None


def keep(path: Path, what: str, value: Any) -> None:
    """Keep plain data under a name for a file or folder."""
    text = json.dumps(value)
    write_text(_place(path, what), f"{_sha256(text)}\n{text}")


def _place(path: Path, what: str) -> Path:
    """The file to keep something in. Its name does not tell the folder of the user's files."""
    return FOLDER / f"{_sha256(f'{what}:{path.resolve()}')[:32]}.json"


def _sha256(text: str) -> str:
    # As JSON does, for names that are not UTF-8.
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
