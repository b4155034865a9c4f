"""Networks that complete images, and a function that builds them from their parameters."""

from glcic.networks.generators.glcic import GlcicGenerator
from glcic.networks.generators.unet import UNetAttention
from glcic.params import GlcicParams, Input, UNetParams


def build_generator(section: GlcicParams | UNetParams, input_params: Input) -> GlcicGenerator | UNetAttention:
    """Build a new generator; `input_params` determines the range of its output."""
    if isinstance(section, UNetParams):
        return UNetAttention(section)
    return GlcicGenerator(section, (-1.0, 1.0) if input_params.symmetric else (0.0, 1.0))
