"""Networks from a few of their parameters; the others are the paper's."""

from typing import Any

from glcic.networks.discriminators.context import ContextDiscriminator
from glcic.networks.discriminators.patchgan import PatchDiscriminator
from glcic.networks.generators.glcic import CompletionNetwork
from glcic.networks.generators.unet import UNetAttention
from glcic.params import Context, Glcic, PatchGAN, UNetParams


def glcic(width: float = 1.0, **changes: Any) -> Glcic:
    paper: dict[str, Any] = {
        "normalisation": "batch",
        "activation": "relu",
        "convolution": "plain",
        "output": "sigmoid",
    }
    return Glcic(name="glcic", width=width, **({"output": "sigmoid"} | paper | changes))


def generator(width: float = 1.0, values: tuple[float, float] = (0.0, 1.0), **changes: Any) -> CompletionNetwork:
    return CompletionNetwork(glcic(width, **changes), values)


def context(
    size: int,
    local_window: int,
    global_convolutions: int = 6,
    local_convolutions: int = 5,
    width: float = 1.0,
    **changes: Any,
) -> ContextDiscriminator:
    paper: dict[str, Any] = {"activation": "relu", "labels": "fused", "spectral_norm": False, "mask_channel": False}
    section = Context(
        name="context",
        local_window=local_window,
        global_convolutions=global_convolutions,
        local_convolutions=local_convolutions,
        width=width,
        **(paper | changes),
    )
    return ContextDiscriminator(section, size)


def patchgan(channels: int = 32, spectral_norm: bool = False, mask_channel: bool = False) -> PatchDiscriminator:
    section = PatchGAN(name="patchgan", channels=channels, spectral_norm=spectral_norm, mask_channel=mask_channel)
    return PatchDiscriminator(section)


def unet(channels: int = 64) -> UNetAttention:
    return UNetAttention(UNetParams(name="unet_attention", channels=channels))
