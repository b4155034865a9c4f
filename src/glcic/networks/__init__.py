"""The networks: two that complete images, two that judge them, and what they cost."""

from glcic.networks.completion import CompletionNetwork
from glcic.networks.cost import count_macs, count_parameters
from glcic.networks.discriminator import ContextDiscriminator
from glcic.networks.patchgan import PatchDiscriminator
from glcic.networks.unet import UNetAttention

__all__ = [
    "CompletionNetwork",
    "ContextDiscriminator",
    "PatchDiscriminator",
    "UNetAttention",
    "count_macs",
    "count_parameters",
]
