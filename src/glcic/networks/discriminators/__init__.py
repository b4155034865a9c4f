"""Networks that judge images, and how they are made from their parameters."""

from glcic.networks.discriminators.context import ContextDiscriminator
from glcic.networks.discriminators.patchgan import PatchDiscriminator
from glcic.params import Context, PatchGAN


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
