"""What the networks are given of an image with a hole: the same code in training and in inference."""

from dataclasses import dataclass

from torch import Tensor

from glcic.fill import fill_image
from glcic.masks import dilate
from glcic.params import Input


@dataclass(frozen=True)
class Holed:
    """Images with holes, as the networks see them.

    Attributes:
        image: x, (N, 3, S, S), the ground truth, in the range of the networks.
        mask: M, (N, 1, S, S), 1 in the hole.
        dilated: the mask grown by the context border; what the completion network is told.
        filled: the image with its hole overwritten by the fill.
    """

    image: Tensor
    mask: Tensor
    dilated: Tensor
    filled: Tensor


@dataclass(frozen=True)
class Preparation:
    """Cuts holes, fills them, and changes between [0, 1] and the networks' range.

    Attributes:
        mean_pixel: (3,), in [0, 1], of the training split.
    """

    section: Input
    mean_pixel: Tensor

    def holed(self, image: Tensor, mask: Tensor) -> Holed:
        """Prepare images (N, 3, H, W) in [0, 1] with masks (N, 1, H, W)."""
        filled = fill_image(image, mask, self.section.fill, self.mean_pixel)
        dilated = dilate(mask, self.section.context)
        return Holed(self._to_range(image), mask, dilated, self._to_range(filled))

    def to_unit(self, values: Tensor) -> Tensor:
        """From the networks' range back to [0, 1]."""
        return (values + 1) / 2 if self.section.range == "symmetric" else values

    @property
    def span(self) -> float:
        """Largest difference of two values: 1 or 2."""
        return 2.0 if self.section.range == "symmetric" else 1.0

    def _to_range(self, image: Tensor) -> Tensor:
        return image * 2 - 1 if self.section.range == "symmetric" else image
