"""Losses against values worked out by hand."""

import math
from typing import Literal

import pytest
import torch

from glcic.losses import completed_loss, real_loss, reconstruction_loss


@pytest.mark.parametrize(("kind", "expected"), [("l1", (0.5 + 0.25) / 2), ("mse", (0.25 + 0.0625) / 2)])
def test_reconstruction_is_normalised_by_each_hole(kind: Literal["l1", "mse"], expected: float) -> None:
    """Errors of ½ in a hole of one pixel and of ¼ in a hole of sixteen weigh the same."""
    image = torch.zeros(2, 3, 8, 8)
    mask = torch.zeros(2, 1, 8, 8)
    mask[0, :, 0, 0] = 1
    mask[1, :, 2:6, 2:6] = 1
    output = torch.ones(2, 3, 8, 8)  # what is outside the hole must not count
    output[0, :, 0, 0] = 0.5
    output[1, :, 2:6, 2:6] = 0.25
    assert reconstruction_loss(output, image, mask, kind).item() == pytest.approx(expected)


def test_cross_entropies() -> None:
    logits = torch.tensor([0.0, math.log(3)])  # probabilities of being real: ½ and ¾
    assert real_loss(logits).item() == pytest.approx((math.log(2) + math.log(4 / 3)) / 2)
    assert completed_loss(logits).item() == pytest.approx((math.log(2) + math.log(4)) / 2)


def test_generator_still_learns_when_the_discriminator_has_won() -> None:
    logit = torch.tensor([-20.0], requires_grad=True)
    real_loss(logit).backward()
    assert logit.grad is not None
    assert logit.grad.item() == pytest.approx(-1, abs=1e-6)
