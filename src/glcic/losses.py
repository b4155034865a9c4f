"""Reconstruction and adversarial losses."""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from glcic.params import Reconstruction


def reconstruction_loss(output: Tensor, image: Tensor, mask: Tensor, kind: Reconstruction) -> Tensor:
    """Mean error over the pixels of the hole.

    Each image is normalised by the area of its own hole: averaged over all pixels instead, the weight of an
    image would grow with its hole.

    Args:
        output, image: (N, 3, H, W), in [0, 1].
        mask: (N, 1, H, W), 1 in the hole.
        kind: `mse` (the paper) or `l1`.

    Returns:
        A scalar: mean squared (or absolute) error per channel and hole pixel.
    """
    difference = (output - image) * mask
    error = difference.square() if kind == "mse" else difference.abs()
    return (error.sum(dim=(1, 2, 3)) / (3 * mask.sum(dim=(1, 2, 3)))).mean()


def real_loss(logits: Tensor) -> Tensor:
    """Cross entropy of calling (N,) images real: −log D(x), mean."""
    return binary_cross_entropy_with_logits(logits, torch.ones_like(logits))


def completed_loss(logits: Tensor) -> Tensor:
    """Cross entropy of calling (N,) images completed: −log(1 − D(x)), mean."""
    return binary_cross_entropy_with_logits(logits, torch.zeros_like(logits))
