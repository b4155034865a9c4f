"""The published constructions, to the parameter."""

import pytest
import torch

from glcic.networks import CompletionNetwork, ContextDiscriminator, count_parameters
from glcic.networks.discriminator import cut_windows


def test_completion_network_has_the_published_parameters() -> None:
    assert count_parameters(CompletionNetwork()) == 6_072_131


@pytest.mark.parametrize(
    ("size", "window", "convolutions", "parameters"),
    [
        (256, 128, (6, 5), 45_063_681),
        (160, 96, (5, 5), 39_557_121),
        (128, 64, (6, 5), 32_480_769),
        (64, 32, (5, 5), 24_352_769),
    ],
)
def test_discriminators_have_the_published_parameters(
    size: int, window: int, convolutions: tuple[int, int], parameters: int
) -> None:
    with torch.device("meta"):  # counted, not allocated
        assert count_parameters(ContextDiscriminator(size, window, *convolutions)) == parameters


@pytest.mark.parametrize(("height", "width"), [(16, 16), (20, 36), (64, 28)])
def test_output_has_the_shape_and_range_of_the_input(height: int, width: int) -> None:
    network = CompletionNetwork(width=0.125)
    output = network(torch.rand(2, 3, height, width), torch.ones(2, 1, height, width))
    assert output.shape == (2, 3, height, width)
    assert output.min() >= 0
    assert output.max() <= 1


def test_every_pixel_of_the_hole_sees_far_beyond_it() -> None:
    """The dilated layers give a receptive field of some 300 pixels: a corner moves the centre."""
    torch.manual_seed(0)
    network = CompletionNetwork(width=0.125).eval()
    filled = torch.rand(1, 3, 128, 128, requires_grad=True)
    network(filled, torch.zeros(1, 1, 128, 128))[0, :, 64, 64].sum().backward()
    assert filled.grad is not None
    assert filled.grad[0, :, 0, 0].abs().sum() > 0


def test_windows_are_cut_per_image_and_pass_gradients() -> None:
    image = torch.rand(3, 2, 10, 12, requires_grad=True)
    corner = torch.tensor([[0, 0], [3, 5], [6, 8]])
    windows = cut_windows(image, corner, 4)
    for n, (top, left) in enumerate(corner.tolist()):
        assert torch.equal(windows[n], image[n, :, top : top + 4, left : left + 4])
    windows[1].sum().backward()
    assert image.grad is not None
    assert image.grad[1].sum() == 2 * 4 * 4
    assert image.grad[0].sum() == 0


def test_discriminator_uses_both_branches() -> None:
    torch.manual_seed(0)
    network = ContextDiscriminator(32, 16, 3, 2, width=0.0625).eval()
    image, corner = torch.rand(2, 3, 32, 32), torch.tensor([[0, 0], [8, 16]])
    logits = network(image, corner)
    assert logits.shape == (2,)
    outside = image.clone()
    outside[0, :, 30, 30] += 1  # outside the first image's window
    assert network(outside, corner)[0] != logits[0]
    assert network(image, corner.flip(0))[0] != logits[0]  # same image, another window
