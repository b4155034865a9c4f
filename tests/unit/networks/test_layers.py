"""Layers against those of PyTorch."""

import pytest
import torch
from torch import Tensor, nn

from glcic.networks.layers import SMALL, DilatedConv2d, StridedConv2d


def both(side: int) -> tuple[StridedConv2d, nn.Conv2d]:
    torch.manual_seed(0)
    ours = StridedConv2d(3, 5, kernel_size=5, stride=2, padding=2).to(memory_format=torch.channels_last)
    theirs = nn.Conv2d(3, 5, kernel_size=5, stride=2, padding=2)
    theirs.load_state_dict(ours.state_dict())
    assert ((side + 1) // 2) ** 2 <= SMALL  # a matrix product, not the library's convolution
    return ours, theirs


@pytest.mark.parametrize("side", [1, 2, 5, 8])
def test_a_small_strided_convolution_is_a_convolution(side: int) -> None:
    """Output, gradients, and gradients of gradients, which R1 needs."""
    compare(*both(side), torch.randn(4, 3, side, side))


def compare(ours: nn.Conv2d, theirs: nn.Conv2d, image: Tensor) -> None:
    """Output, gradients, and gradients of gradients."""
    image = image.to(memory_format=torch.channels_last)
    found: list[list[Tensor]] = []
    for layer in (ours, theirs):
        x = image.clone().requires_grad_()
        output = layer(x)
        (gradient,) = torch.autograd.grad(output.square().sum(), x, create_graph=True)
        (output.sin().sum() + gradient.square().sum()).backward()
        gradients = [x.grad, layer.weight.grad, layer.bias.grad if layer.bias is not None else None]
        assert layer.weight.grad is not None
        assert layer.weight.grad.stride() == layer.weight.stride()  # stored without a copy
        found.append([output, gradient, *(each for each in gradients if each is not None)])
    assert [len(each) for each in found] == [5, 5]
    for mine, other in zip(*found, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4)


def test_a_large_strided_convolution_is_the_librarys() -> None:
    torch.manual_seed(0)
    layer, image = StridedConv2d(3, 5, kernel_size=5, stride=2, padding=2), torch.randn(2, 3, 9, 9)
    assert torch.equal(layer(image), nn.Conv2d.forward(layer, image))


@pytest.mark.parametrize(("height", "width"), [(4, 4), (8, 8), (3, 3), (1, 2), (4, 8), (8, 3), (2, 8)])
def test_a_dilated_convolution_of_a_small_image_is_a_convolution(height: int, width: int) -> None:
    """Of at most two dilations in height and width; where a side is less than one, only the middle taps count."""
    torch.manual_seed(0)
    ours = DilatedConv2d(3, 5, dilation=4).to(memory_format=torch.channels_last)
    theirs = nn.Conv2d(3, 5, kernel_size=3, padding=4, dilation=4)
    theirs.load_state_dict(ours.state_dict())
    compare(ours, theirs, torch.randn(4, 3, height, width))


@pytest.mark.parametrize("side", [5, 7, 9, 12])
def test_a_dilated_convolution_of_another_image_is_the_librarys(side: int) -> None:
    torch.manual_seed(0)
    layer, image = DilatedConv2d(3, 5, dilation=4), torch.randn(2, 3, side, side)
    assert torch.equal(layer(image), nn.Conv2d.forward(layer, image))
