"""Atomic file writes and file digests."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glcic.errors import UserError, full_disk_explained

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def atomic(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path next to `path`; it replaces `path` on success and is removed on failure.

    Its name ends with that of `path`, because some writers choose the format by the suffix. The folder is created if
    necessary.

    Args:
        durable: wait until file and folder are on the disk, so that a power cut leaves the old or the new file, never
            an empty one. For what nothing can make again.

    Raises:
        DiskFull: no space is left; the message names `path`.
    """
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        with full_disk_explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            if durable:
                _sync(temporary)
            temporary.replace(path)
            if durable:
                _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str, *, durable: bool = False) -> None:
    """Write text atomically, in UTF-8 with Unix line endings on every platform; for `durable`, see `atomic`."""
    with atomic(path, durable=durable) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_csv(path: Path, table: "pd.DataFrame", **form: Any) -> None:
    """Write a table as CSV, atomically and without its index; `form` is passed on to `to_csv`."""
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n", **form)


def sha256_of(path: Path) -> str:
    """Compute the SHA-256 of a file in hexadecimal, in chunks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of_files(paths: Iterable[Path]) -> str:
    """Compute the SHA-256 over the names and contents of files, in the given order."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + b"\0" + bytes.fromhex(sha256_of(path)))
    return digest.hexdigest()


def members(files: Iterable[Path]) -> list[Path]:
    """Files, and the files in folders, without those in .dvcignore, whose changes DVC ignores as well.

    Raises:
        UserError: a file does not exist.
    """
    from pathspec import GitIgnoreSpec

    ignore = Path(".dvcignore")
    ignored = GitIgnoreSpec.from_lines(ignore.read_text().splitlines() if ignore.exists() else [])
    found: list[Path] = []
    for path in sorted(files):
        if not path.exists():
            raise UserError(f"{path}: no such file; run `dvc repro`, which makes a stage's inputs first")
        inside = path.rglob("*") if path.is_dir() else [path]
        found += sorted(p for p in inside if p.is_file() and not ignored.match_file(p.as_posix()))
    return found
