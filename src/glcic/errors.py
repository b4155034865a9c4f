"""Errors that a user can fix, reported in one line instead of a traceback."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DISK_FULL = {errno.ENOSPC, errno.EDQUOT}


class UserError(Exception):
    """An error that the user can fix. The message names the file or field and the remedy, in one line."""


class DiskFull(UserError):
    """The disk is full. A retry or another source does not help."""


@contextmanager
def full_disk_explained(*folders: Path) -> Iterator[None]:
    """Turn "no space left on device" into a DiskFull error that names the folders."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        where = " and ".join(map(str, folders))
        raise DiskFull(f"the disk is full: free space for {where}, then run it again") from error


def note(text: str) -> None:
    """Tell the user something that is no error, in one line on stderr."""
    print(f"note: {' '.join(text.split())}", file=sys.stderr, flush=True)


@contextmanager
def explained() -> Iterator[None]:
    """Report a UserError or OSError in one line on stderr, and exit with status 1."""
    try:
        with full_disk_explained(Path.cwd()):
            yield
    except (UserError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
        sys.exit(1)
