"""Networks from a few parameters; the others are those of the paper."""

from typing import Any

from glcic.networks.discriminators.global_local import GlobalLocalDiscriminator
from glcic.networks.discriminators.patchgan import PatchDiscriminator
from glcic.networks.generators.glcic import GlcicGenerator
from glcic.networks.generators.unet import UNetAttention
from glcic.params import GlcicParams, GlobalLocalParams, PatchGANParams, UNetParams


def glcic(width_multiplier: float = 1.0, **changes: Any) -> GlcicParams:
    paper: dict[str, Any] = {
        "norm": "batch",
        "activation": "relu",
        "convolution": "plain",
        "output_activation": "sigmoid",
    }
    return GlcicParams(name="glcic", width_multiplier=width_multiplier, **(paper | changes))


def generator(
    width_multiplier: float = 1.0, values: tuple[float, float] = (0.0, 1.0), **changes: Any
) -> GlcicGenerator:
    return GlcicGenerator(glcic(width_multiplier, **changes), values)


def global_local(
    image_size: int,
    local_window: int,
    global_layers: int = 6,
    local_layers: int = 5,
    width_multiplier: float = 1.0,
    **changes: Any,
) -> GlobalLocalDiscriminator:
    paper: dict[str, Any] = {
        "norm": "batch",
        "activation": "relu",
        "head": "fused",
        "spectral_norm": False,
        "mask_channel": False,
    }
    section = GlobalLocalParams(
        name="global_local",
        local_window=local_window,
        global_layers=global_layers,
        local_layers=local_layers,
        width_multiplier=width_multiplier,
        **(paper | changes),
    )
    return GlobalLocalDiscriminator(section, image_size)


def patchgan(channels: int = 32, **changes: Any) -> PatchDiscriminator:
    small: dict[str, Any] = {"norm": "batch", "spectral_norm": False, "mask_channel": False}
    return PatchDiscriminator(PatchGANParams(name="patchgan", channels=channels, **(small | changes)))


def unet(channels: int = 64) -> UNetAttention:
    return UNetAttention(UNetParams(name="unet_attention", channels=channels))
