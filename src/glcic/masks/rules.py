"""What counts as a mask: the same for the command, the library, the served model and folders of masks.

A mask has values 0 and 1, or 0 and 255, or is Boolean. In image files, gray from 128 on is hole.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST = 0.6  # of the image: no mask of training or evaluation covers more
WHITE = 128  # of 255: from here on a pixel is hole
# A photo has gray all over, a mask at the edges of its hole. Levels at least EDGE from black and white are gray. Where
# more than GRAY of the pixels are, in more than MANY levels, it is a photo: so are 499 of 500 photographs of scenes and
# 999 of 1,000 of CelebA. Of masks of brush strokes at 64×64 pixels, antialiased or as JPEG of quality 30, at most 0.11
# is gray.
EDGE, MANY, GRAY = 32, 16, 0.2


def hole_of(levels: NDArray[np.uint8], *, invert: bool = False) -> NDArray[np.uint8]:
    """The hole of a mask's image.

    Args:
        levels: (H, W), gray levels as `glcic.images.reader.gray` gives them; of 0 and 1 alone, 1 is white.
        invert: whether black is the hole.

    Returns:
        (H, W), uint8, 1 in the hole.

    Raises:
        ValueError: the image is none of a mask.
    """
    between = levels[(levels >= EDGE) & (levels < 256 - EDGE)]
    if between.size > GRAY * levels.size and len(np.unique(between)) > MANY:
        share = percent(between.size / levels.size)
        raise ValueError(f"{share} of it is gray, as in a photo; give a mask of black and white")
    white = levels == 1 if levels.max() == 1 else levels >= WHITE
    return (white != invert).astype(np.uint8)


def check_hole(hole: NDArray[Any], *, allow_large: bool = False) -> None:
    """Check how much of an image a hole covers.

    Args:
        hole: of any shape and type, 1 in the hole.
        allow_large: whether the hole may cover more than `LARGEST`.

    Raises:
        ValueError: all is hole, or nothing is, or too much of the image.
    """
    share = float(hole.mean())
    if share == 0:
        raise ValueError("nothing is white; paint the hole white, and the rest black")
    if share == 1:
        raise ValueError("everything is white; leave black what is to be kept")
    if share > LARGEST and not allow_large:
        raise TooLarge(share)


class TooLarge(ValueError):
    """A hole covers more than `LARGEST` of the image.

    Attributes:
        share: how much it covers, in (0, 1).
    """

    def __init__(self, share: float) -> None:
        super().__init__(
            f"covers {percent(share)} of the image, more than the {percent(LARGEST)} of any mask of the training; "
            "is it inverted? allow_large=True if it is meant"
        )
        self.share = share


def checked_masks(masks: NDArray[Any], shape: tuple[int, ...], *, allow_large: bool = False) -> NDArray[np.uint8]:
    """Check the masks of a batch.

    Args:
        masks: (N, 1, H, W), of any numbers or Boolean; 0 outside the hole, and inside 1 or 255.
        shape: the expected shape.
        allow_large: whether a hole may cover more than `LARGEST` of its image.

    Returns:
        (N, 1, H, W), uint8, 1 in the hole.

    Raises:
        TypeError: they are not numbers.
        ValueError: they have another shape or other values, or are no masks by `check_hole`.
    """
    if masks.dtype.kind not in "buif":
        raise TypeError(f"masks of type {masks.dtype}; give Booleans, 0 and 1, or 0 and 255")
    if masks.shape != shape:
        raise ValueError(f"masks of shape {masks.shape}; these images need {shape}")
    holes = masks != 0
    inside = masks[holes]
    if inside.size and not (inside == (1 if inside[0] == 1 else 255)).all():
        odd = inside[(inside != 1) & (inside != 255)]
        found = f"the value {odd[0]}" if odd.size else "both 1 and 255"
        raise ValueError(f"masks have {found}; give Booleans, 0 and 1, or 0 and 255")
    for number, hole in enumerate(holes):
        try:
            check_hole(hole, allow_large=allow_large)
        except ValueError as error:
            raise ValueError(f"mask {number}: {error}") from None
    return holes.astype(np.uint8)


def percent(share: float) -> str:
    """A share in (0, 1) in percent, as in 85 %."""
    return f"{100 * share:.3g} %"
