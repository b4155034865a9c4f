"""What a user can put right, and how it is told: in one line, never as a traceback."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DISK_FULL = {errno.ENOSPC, errno.EDQUOT}


class UserError(Exception):
    """Something a user can put right: the message names the file or field and the remedy, in one line."""


class DiskFull(UserError):
    """No space left on the disk: trying another source, or another time, does not help."""


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


@contextmanager
def explained() -> Iterator[None]:
    """A UserError or a file that cannot be used becomes one line on stderr, and ends the program with status 1."""
    try:
        with full_disk_explained(Path.cwd()):
            yield
    except (UserError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
        sys.exit(1)
