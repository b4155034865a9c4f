"""Cost of a network: memory and arithmetic."""

import copy

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(network: nn.Module) -> int:
    """Count the trainable scalars of a network."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def count_macs(network: nn.Module, *inputs: Tensor) -> int:
    """Count the multiply-accumulates of one image's forward pass, in convolutions and matrix products.

    Args:
        network: a network; it is not changed, and nothing is computed: only shapes matter.
        inputs: arguments of its forward pass, (N, ...) each; only the first image counts.
    """
    shapes = copy.deepcopy(network).to("meta").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        shapes(*(x[:1].to("meta") for x in inputs))
    return int(counter.get_total_flops()) // 2
