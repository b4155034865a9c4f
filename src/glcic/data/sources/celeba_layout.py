"""CelebA's file layout, into which every source is converted.

A folder holds one zip of images, one partition file (`name split` per line; 0 = train, 1 = val, 2 = test)
and optionally an identity file (`name person` per line).
"""

import hashlib
import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from glcic.errors import UserError
from glcic.files import write_text
from glcic.paths import SPLITS

IMAGES = "images.zip"
PARTITION = "list_eval_partition.txt"
IDENTITY = "identity_CelebA.txt"

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".avif", ".heic", ".tif", ".tiff", ".bmp"}
# Errors of reading a member of a zip; RuntimeError: it is encrypted, or its compression is unknown.
UNREADABLE = (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)
CELEBA_FOLDER = "img_align_celeba/"  # a prefix of every name in CelebA's zip, but not in its text files


def is_image(name: str) -> bool:
    """Whether a relative name with forward slashes is an image that is neither hidden nor macOS metadata."""
    return has_suffix(name) and not any(map(is_hidden, PurePosixPath(name).parts))


def has_suffix(name: str) -> bool:
    """Whether a name ends as those of images do."""
    return name.lower().endswith(tuple(SUFFIXES))


def is_hidden(part: str) -> bool:
    """Whether a file or folder of this name is hidden or macOS metadata."""
    return part.startswith(".") or part == "__MACOSX"


def members(zip_path: Path) -> list[str]:
    """Sorted names of the images in a zip.

    Raises:
        UserError: the file is missing, or not a readable zip.
    """
    try:
        with zipfile.ZipFile(zip_path) as archive:
            return sorted({name for name in archive.namelist() if is_image(name)})
    except FileNotFoundError:
        raise UserError(f"{zip_path} is missing: run the download stage again") from None
    except (zipfile.BadZipFile, ValueError) as error:  # ValueError: invalid offsets
        raise UserError(f"{zip_path} is not a readable zip ({error}): replace it with an intact one") from error


def member(name: str, permissions: int = 0o600) -> zipfile.ZipInfo:
    """Metadata for writing a member of a zip, independent of time and platform."""
    info = zipfile.ZipInfo(name)  # dated 1980, the earliest date that a zip can hold
    info.create_system = 3  # Unix, even on Windows
    info.external_attr = permissions << 16
    return info


def write_partition(folder: Path, splits: Mapping[str, int]) -> None:
    """Write the partition file, from the split of every image by its name."""
    write_text(folder / PARTITION, "".join(f"{name} {split}\n" for name, split in splits.items()))


def read_partition(path: Path) -> dict[str, int]:
    """Read the split of every image: 0, 1 or 2, an index into SPLITS.

    Raises:
        UserError: the file cannot be read; the message names file and line.
    """
    return _read_rows(path, "a name and 0 (train), 1 (val) or 2 (test)", below=len(SPLITS))


def read_identity(path: Path) -> dict[str, int]:
    """Read the number of the person in every image, at least 0.

    Raises:
        UserError: the file cannot be read; the message names file and line.
    """
    return _read_rows(path, "a name and the number of a person", below=math.inf)


def split_of(member: str, partition: Mapping[str, int], *, file: Path | str = PARTITION) -> int:
    """Look up the split of a member of the zip.

    CelebA's partition file has the row `000001.jpg` for the member `img_align_celeba/000001.jpg`.

    Args:
        member: name of the image in the zip.
        partition: the rows that `read_partition` returned.
        file: the partition file, for the error message.

    Raises:
        UserError: there is no row for the member.
    """
    for name in (member, member.removeprefix(CELEBA_FOLDER)):
        if name in partition:
            return partition[name]
    raise UserError(f"{file} has no row for the image {member}: add one, or take the image out")


def md5_of(path: Path) -> str:
    """MD5 of a file in hexadecimal, read in chunks: a guard against accidents, not against attackers."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _read_rows(path: Path, wanted: str, below: float) -> dict[str, int]:
    """Read rows of a name, whitespace and an integer in [0, below). Names may contain spaces; CRLF is fine."""
    rows: dict[str, int] = {}
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                name, value = [*line.rsplit(maxsplit=1), ""][:2]
                if not (value.isdecimal() and int(value) < below):
                    found = line.strip()
                    raise UserError(f"{path}, line {number}: expected {wanted}, found {found!r}; correct it")
                if name in rows:
                    raise UserError(f"{path}, line {number}: a second row for {name}; remove one of them")
                rows[name] = int(value)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: put it there, or correct its path") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text ({error}): replace it with a text file") from error
    return rows
