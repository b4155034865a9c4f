"""Networks that complete images, and how they are made from their parameters."""

from glcic.networks.generators.glcic import CompletionNetwork
from glcic.networks.generators.unet import UNetAttention
from glcic.params import Glcic, Input, UNetParams


def completion_network(section: Glcic | UNetParams, seen: Input) -> CompletionNetwork | UNetAttention:
    """A new completion network; `seen` says in which range its output has to be."""
    if isinstance(section, UNetParams):
        return UNetAttention(section)
    return CompletionNetwork(section, (-1.0, 1.0) if seen.range == "symmetric" else (0.0, 1.0))
