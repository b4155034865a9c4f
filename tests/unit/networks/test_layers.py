"""Layers against those of PyTorch."""

import pytest
import torch
from torch import Tensor, nn

from glcic.networks.layers import SMALL, StridedConv2d


def both(side: int) -> tuple[StridedConv2d, nn.Conv2d]:
    torch.manual_seed(0)
    ours = StridedConv2d(3, 5, kernel_size=5, stride=2, padding=2).to(memory_format=torch.channels_last)
    theirs = nn.Conv2d(3, 5, kernel_size=5, stride=2, padding=2)
    theirs.load_state_dict(ours.state_dict())
    assert ((side + 1) // 2) ** 2 <= SMALL  # a matrix product, not the library's convolution
    return ours, theirs


@pytest.mark.parametrize("side", [1, 2, 5, 8, 16])
def test_a_small_strided_convolution_is_a_convolution(side: int) -> None:
    """Output, gradients, and gradients of gradients, which R1 needs."""
    ours, theirs = both(side)
    image = torch.randn(4, 3, side, side).to(memory_format=torch.channels_last)
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
    layer, image = StridedConv2d(3, 5, kernel_size=5, stride=2, padding=2), torch.randn(2, 3, 18, 18)
    assert torch.equal(layer(image), nn.Conv2d.forward(layer, image))
