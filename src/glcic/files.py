"""Writing files whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glcic.errors import full_disk_explained


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
