"""What a network costs: memory and arithmetic."""

import copy

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(network: nn.Module) -> int:
    """Number of trainable scalars of a network."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def count_macs(network: nn.Module, *inputs: Tensor) -> int:
    """Multiply-accumulates of one forward pass for one image, of convolutions and matrix products.

    Args:
        network: stays as it is; nothing is computed, only its shapes matter.
        inputs: what its forward takes, (N, ...) each; only the first image counts.
    """
    shapes = copy.deepcopy(network).to("meta").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        shapes(*(x[:1].to("meta") for x in inputs))
    return int(counter.get_total_flops()) // 2
