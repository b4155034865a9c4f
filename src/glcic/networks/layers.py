"""Building blocks that several networks share."""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.utils import parametrizations

from glcic.params import Activation, Norm

SLOPE = 0.2  # negative slope of leaky ReLU
SMALL = 64  # pixels of the largest output that is computed as one matrix product, on a CPU


class StridedConv2d(nn.Conv2d):
    """A strided convolution that is one matrix product where its output is small, on a CPU.

    There, the library's convolutions reach a tenth of the processor's speed, mostly in their gradients
    (docs/performance.md). The result is the same up to rounding.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (N, C, H, W) to (N, channels, H', W')."""
        kernel, stride, padding = self.kernel_size[0], self.stride[0], int(self.padding[0])
        height, width = ((side + 2 * padding - kernel) // stride + 1 for side in x.shape[2:])
        if x.device.type != "cpu" or height * width > SMALL:
            return super().forward(x)
        padded = pad(x.permute(0, 2, 3, 1), (0, 0, padding, padding, padding, padding))
        windows = padded.unfold(1, kernel, stride).unfold(2, kernel, stride)  # (N, H', W', C, kernel, kernel)
        columns = windows.permute(0, 1, 2, 4, 5, 3).reshape(len(x) * height * width, -1)
        weight = self.weight.permute(0, 2, 3, 1).reshape(self.out_channels, -1)  # no copy in channels-last format
        product = nn.functional.linear(columns, weight, self.bias)
        return product.view(len(x), height, width, -1).permute(0, 3, 1, 2)


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
