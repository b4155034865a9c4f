"""How many photographs are taken for masks: by `glcic.masks.rules`, which refuse an image with much gray.

    python tools/mask_or_photo.py FOLDER_OR_ZIP [NUMBER]

Prints how many of NUMBER photos (default 1,000), evenly spread, are not refused.
"""

import sys
from pathlib import Path

from jpeg_difference import photos

from glcic.images.reader import decode, gray
from glcic.masks.rules import hole_of


def is_mask(data: bytes) -> bool:
    """Whether an encoded image is not refused as a mask."""
    try:
        hole_of(gray(decode(data)))
    except ValueError:
        return False
    return True


def main() -> None:
    """Count and print."""
    found = [is_mask(data) for data in photos(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1000)]
    print(f"{sum(found)} of {len(found)} photos are taken for masks")


if __name__ == "__main__":
    main()
