"""Networks that judge images, and how they are made from their parameters."""

from glcic.networks.discriminators.context import ContextDiscriminator
from glcic.networks.discriminators.patchgan import PatchDiscriminator
from glcic.params import Context, PatchGAN


def discriminator(section: Context | PatchGAN, size: int) -> ContextDiscriminator | PatchDiscriminator:
    """A new discriminator for images of side `size`."""
    return PatchDiscriminator(section) if isinstance(section, PatchGAN) else ContextDiscriminator(section, size)
