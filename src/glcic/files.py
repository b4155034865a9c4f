"""Files: written whole or not at all, known by their digests, and images read with an error that says what to do."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glcic.errors import UserError, full_disk_explained

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it becomes `path` on success and is removed on any failure.

    It ends in the name of `path`, because some writers choose a format by the suffix. The folder is made if need be.
    Raises DiskFull, naming `path`.
    """
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        with full_disk_explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write text, `atomic`, with the same bytes on every platform."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_csv(path: Path, table: "pd.DataFrame", **form: Any) -> None:
    """Write a table without its index, likewise; `form` is more of what `to_csv` takes."""
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n", **form)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal, read in chunks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of_files(paths: Iterable[Path]) -> str:
    """SHA-256 over the names and contents of files, in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + b"\0" + bytes.fromhex(sha256_of(path)))
    return digest.hexdigest()


def read_image(path: Path, mode: str, remedy: str) -> "Image":
    """An image as a viewer shows it, turned as its EXIF data say, in Pillow's `mode`.

    Args:
        remedy: what to do about a file that is no image.

    Raises:
        UserError: there is none, or it is no image that can be read.
    """
    from PIL import Image, ImageOps

    try:
        return ImageOps.exif_transpose(Image.open(path)).convert(mode)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: not an image that can be read ({error}); {remedy}") from None
