"""What several networks are made of."""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from glcic.params import Activation, Normalisation

SLOPE = 0.2  # of leaky ReLU below zero


def scaled(channels: int, width: float) -> int:
    """`channels` of the paper under the width multiplier, at least one."""
    return max(1, round(channels * width))


def activation_layer(activation: Activation, inplace: bool = False) -> nn.Module:
    """The layer of that name; in place only where nothing else reads its input."""
    return nn.ReLU(inplace) if activation == "relu" else nn.LeakyReLU(SLOPE, inplace)


def normalisation_layer(normalisation: Normalisation, channels: int) -> nn.Module:
    """The layer of that name; batch and instance norm have the same parameters, a scale and a shift per channel."""
    match normalisation:
        case "none":
            return nn.Identity()  # keeps its place, so that the same convolution has the same name in every variant
        case "batch":
            return nn.BatchNorm2d(channels)
        case "instance":
            return nn.InstanceNorm2d(channels, affine=True)


class Gated(nn.Module):
    """A convolution that weighs its own features (Yu et al., ICCV 2019, "Free-form image inpainting").

    Args:
        convolution: makes twice the channels, first the features, then their gates.
        normalisation, activation: of the features; the gate is a plain sigmoid.
    """

    def __init__(self, convolution: nn.Module, normalisation: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.convolution = convolution
        self.normalisation = normalisation
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, channels, H', W')."""
        feature, gate = self.convolution(x).chunk(2, dim=1)
        result: Tensor = self.activation(self.normalisation(feature)) * torch.sigmoid(gate)
        return result


def normalise_spectra(network: nn.Module) -> None:
    """Keep the largest singular value of every convolution and linear layer at 1 (Miyato et al., ICLR 2018)."""
    for layer in list(network.modules()):  # a list, because each parametrisation adds modules
        if isinstance(layer, nn.Conv2d | nn.Linear):
            parametrizations.spectral_norm(layer)


def last_layer(network: nn.Module) -> Tensor:
    """Weight of the last convolution, where gradients of different losses can be compared."""
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)][-1].weight
