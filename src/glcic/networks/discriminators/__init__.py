"""Networks that judge images, and a function that builds them from their parameters."""

from glcic.networks.discriminators.global_local import GlobalLocalDiscriminator
from glcic.networks.discriminators.patchgan import PatchDiscriminator
from glcic.params import GlobalLocalParams, PatchGANParams


def build_discriminator(
    section: GlobalLocalParams | PatchGANParams, image_size: int
) -> GlobalLocalDiscriminator | PatchDiscriminator:
    """Build a new discriminator for square images of side `image_size` pixels."""
    if isinstance(section, PatchGANParams):
        return PatchDiscriminator(section)
    return GlobalLocalDiscriminator(section, image_size)
