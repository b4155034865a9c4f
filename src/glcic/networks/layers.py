"""Building blocks that several networks share."""

from itertools import product
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.utils import parametrizations

from glcic.params import Activation, Norm

SLOPE = 0.2  # negative slope of leaky ReLU
SMALL = 16  # pixels of the largest output that is computed as one matrix product, on a CPU


class StridedConv2d(nn.Conv2d):
    """A strided convolution that is one matrix product where its output is small, on a CPU.

    There, the library's convolutions reach a fraction of the processor's speed, mostly in their gradients
    (docs/performance.md). The result is the same up to rounding. Without dilation and groups.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (N, C, H, W) to (N, channels, H', W')."""
        kernel, stride, padding = self.kernel_size[0], self.stride[0], int(self.padding[0])
        height, width = ((side + 2 * padding - kernel) // stride + 1 for side in x.shape[2:])
        if x.device.type != "cpu" or height * width > SMALL:
            return super().forward(x)
        padded = pad(x.permute(0, 2, 3, 1), (0, 0, padding, padding, padding, padding))
        columns = cast(Tensor, _Windows.apply(padded, kernel, stride)).view(len(x) * height * width, -1)
        weight = self.weight.permute(0, 2, 3, 1).reshape(self.out_channels, -1)  # no copy in channels-last format
        found = nn.functional.linear(columns, weight, self.bias)
        return found.view(len(x), height, width, -1).permute(0, 3, 1, 2)


class _Windows(torch.autograd.Function):
    """All windows (N, H', W', kernel, kernel, C) of images (N, H, W, C); their gradient is faster than `unfold`'s."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, kernel: int, stride: int) -> Tensor:
        ctx.shape, ctx.stride = image.shape, stride
        windows = image.unfold(1, kernel, stride).unfold(2, kernel, stride)  # (N, H', W', C, kernel, kernel)
        return windows.permute(0, 1, 2, 4, 5, 3).contiguous()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,), stride = gradients, ctx.stride
        _, height, width, kernel, _, _ = gradient.shape
        image = gradient.new_zeros(ctx.shape)
        for y, x in product(range(kernel), range(kernel)):
            image[:, y : y + stride * height : stride, x : x + stride * width : stride] += gradient[:, :, :, y, x]
        return image, None, None


class DilatedConv2d(nn.Conv2d):
    """A dilated 3×3 convolution that is one matrix product, without its padding, where its input is small, on a CPU.

    A pixel meets only those a multiple of the dilation away. Where the side of the input is at most one dilation,
    there are none; where it is two, there is one in each direction, and all pairs that meet make one matrix product.
    The result is the same up to rounding.
    """

    def __init__(self, channels: int, out: int, dilation: int) -> None:
        super().__init__(channels, out, kernel_size=3, padding=dilation, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (N, C, H, W) to (N, channels, H, W)."""
        n, channels, height, width = x.shape
        rows, columns = (self._in_a_row(side) for side in (height, width))
        if x.device.type != "cpu" or not (rows and columns):
            return super().forward(x)
        h, w = height // rows, width // columns
        meet = x.permute(0, 2, 3, 1).reshape(n, rows, h, columns, w, channels).permute(0, 2, 4, 1, 3, 5)
        # From the pixel in row i and column j of those that meet, to each of them; the middle tap is 1, 1.
        taps, pairs = self.weight, product(range(rows), range(columns))
        parts = [taps[:, :, 1 - i : 1 - i + rows, 1 - j : 1 - j + columns] for i, j in pairs]
        weight = torch.stack(parts).permute(0, 1, 3, 4, 2)  # (pixels, channels out, rows, columns, channels)
        pixels = rows * columns
        found = nn.functional.linear(
            meet.reshape(n * h * w, pixels * channels),
            weight.reshape(pixels * self.out_channels, pixels * channels),
            None if self.bias is None else self.bias.repeat(pixels),
        )
        placed = found.view(n, h, w, rows, columns, -1).permute(0, 3, 1, 4, 2, 5).reshape(n, height, width, -1)
        return placed.permute(0, 3, 1, 2)

    def _in_a_row(self, side: int) -> int:
        """Number of pixels of a row that meet: 1 or 2; 0 if more do, or not the same number everywhere."""
        dilation = self.dilation[0]
        return 1 if side <= dilation else 2 if side == 2 * dilation else 0


def scaled(channels: int, width_multiplier: float) -> int:
    """The paper's number of channels times the width multiplier, at least one."""
    return max(1, round(channels * width_multiplier))


def activation_layer(activation: Activation, inplace: bool = False) -> nn.Module:
    """Build an activation layer by its name; use `inplace` only where nothing else reads its input."""
    return nn.ReLU(inplace) if activation == "relu" else nn.LeakyReLU(SLOPE, inplace)


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """Build a normalization layer by its name; batch and instance norm have a scale and a shift per channel."""
    match norm:
        case "none":
            return nn.Identity()  # a placeholder, so that each convolution has the same name in every variant
        case "batch":
            return nn.BatchNorm2d(channels)
        case "instance":
            return nn.InstanceNorm2d(channels, affine=True)


class Gated(nn.Module):
    """A gated convolution, which weights its own features (Yu et al., ICCV 2019, "Free-form image inpainting").

    Args:
        convolution: outputs twice the channels: first the features, then their gates.
        norm, activation: applied to the features; the gate is a plain sigmoid.
    """

    def __init__(self, convolution: nn.Module, norm: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.convolution = convolution
        self.norm = norm
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, channels, H', W')."""
        feature, gate = self.convolution(x).chunk(2, dim=1)
        result: Tensor = self.activation(self.norm(feature)) * torch.sigmoid(gate)
        return result


def apply_spectral_norm(network: nn.Module) -> None:
    """Keep the largest singular value of every convolution and linear layer at 1 (Miyato et al., ICLR 2018)."""
    for layer in list(network.modules()):  # a list, because each parametrization adds modules
        if isinstance(layer, nn.Conv2d | nn.Linear):
            parametrizations.spectral_norm(layer)


def last_layer(network: nn.Module) -> Tensor:
    """Weight (out, in, height, width) of the last convolution, where gradients of different losses are compared."""
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)][-1].weight
