"""Completion networks from their parameters.

Discriminators have a file of their own, so that stages without one do not depend on their source.
"""

from torch import Tensor, nn

from glcic.networks.completion import CompletionNetwork
from glcic.networks.unet import UNetAttention
from glcic.params import Glcic, Input, UNetParams


def completion_network(section: Glcic | UNetParams, seen: Input) -> CompletionNetwork | UNetAttention:
    """A new completion network; `seen` says in which range its output has to be."""
    if isinstance(section, UNetParams):
        return UNetAttention(section.channels)
    return CompletionNetwork(
        section.width,
        section.normalisation,
        section.activation,
        section.convolution,
        section.output,
        (-1.0, 1.0) if seen.range == "symmetric" else (0.0, 1.0),
    )


def last_layer(network: nn.Module) -> Tensor:
    """Weight of the last convolution, where gradients of different losses can be compared."""
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)][-1].weight
