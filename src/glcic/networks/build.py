"""Networks from their parameters."""

from torch import Tensor, nn

from glcic.networks.completion import CompletionNetwork
from glcic.networks.discriminator import ContextDiscriminator
from glcic.networks.patchgan import PatchDiscriminator
from glcic.networks.unet import UNetAttention
from glcic.params import Context, Glcic, Input, PatchGAN, UNetParams


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


def discriminator(section: Context | PatchGAN, size: int) -> ContextDiscriminator | PatchDiscriminator:
    """A new discriminator for images of side `size`."""
    if isinstance(section, PatchGAN):
        return PatchDiscriminator(section.channels, section.spectral_norm, section.mask_channel)
    return ContextDiscriminator(
        size,
        section.local_window,
        section.global_convolutions,
        section.local_convolutions,
        section.width,
        section.activation,
        section.labels,
        section.spectral_norm,
        section.mask_channel,
    )


def last_layer(network: nn.Module) -> Tensor:
    """Weight of the last convolution, where gradients of different losses can be compared."""
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)][-1].weight
