"""The networks of the paper: the completion network and the context discriminator."""

from glcic.networks.completion import CompletionNetwork
from glcic.networks.discriminator import ContextDiscriminator

__all__ = ["CompletionNetwork", "ContextDiscriminator", "count_parameters"]


def count_parameters(network: "CompletionNetwork | ContextDiscriminator") -> int:
    """Number of trainable scalars of a network."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
