"""Writing files whole or not at all."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glcic.errors import DiskFull

DISK_FULL = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it becomes `path` on success and is removed on any failure.

    It ends in the name of `path`, because some writers choose a format by the suffix.
    Raises DiskFull, naming `path`.
    """
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        with full_disk_explained(path):
            yield temporary
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def full_disk_explained(*folders: Path) -> Iterator[None]:
    """Turn "no space left on device" into a DiskFull that names the folders being filled."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        where = " and ".join(map(str, folders))
        raise DiskFull(f"the disk is full: free space for {where}, then run it again") from error
