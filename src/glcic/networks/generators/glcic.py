"""The paper's generator (Iizuka, Simo-Serra, Ishikawa, SIGGRAPH 2017, table 1: completion network) and its variants."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from glcic.networks.layers import DilatedConv2d, Gated, activation_layer, norm_layer, scaled
from glcic.params import GlcicParams


class Layer(NamedTuple):
    """One convolution of the table; `scale` is ½ (stride 2), 1, or 2 (transposed, stride ½)."""

    kernel: int
    dilation: int
    scale: float
    channels: int


# The layers halve the side only twice, so that the completion stays sharp; with the dilated layers in the middle,
# every output pixel sees most of the image.
LAYERS = (
    Layer(5, 1, 1, 64),
    Layer(3, 1, 0.5, 128),
    Layer(3, 1, 1, 128),
    Layer(3, 1, 0.5, 256),
    Layer(3, 1, 1, 256),
    Layer(3, 1, 1, 256),
    Layer(3, 2, 1, 256),
    Layer(3, 4, 1, 256),
    Layer(3, 8, 1, 256),
    Layer(3, 16, 1, 256),
    Layer(3, 1, 1, 256),
    Layer(3, 1, 1, 256),
    Layer(4, 1, 2, 128),
    Layer(3, 1, 1, 128),
    Layer(4, 1, 2, 64),
    Layer(3, 1, 1, 32),
)


class GlcicGenerator(nn.Module):
    """The paper's generator, fully convolutional: takes any (N, 3, H, W) with H and W divisible by `stride`.

    With all of the paper's settings it has 6,072,131 parameters.

    Args:
        section: `width_multiplier` scales every channel count; `norm` and `activation` follow every convolution but
            the last (leaky ReLU has slope 0.2); `convolution: gated` gives each of these convolutions its own gate;
            `output_activation` follows the last one.
        values: smallest and largest value of the output if `output_activation` is `clamp`.
    """

    stride = 4

    def __init__(self, section: GlcicParams, values: tuple[float, float] = (0.0, 1.0)) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_blocks(section))
        self.output_activation = section.output_activation
        self.values = values

    def forward(self, filled: Tensor, mask: Tensor) -> Tensor:
        """Complete images.

        Args:
            filled: (N, 3, H, W), the hole overwritten by the fill (in the paper, the training split's mean pixel), in
                the networks' range.
            mask: (N, 1, H, W), 1 in the hole and 0 elsewhere.

        Returns:
            (N, 3, H, W), float32, the whole raw output; only its hole belongs in a composite. It is in [0, 1]
            after sigmoid, in [-1, 1] after tanh, within `values` after clamp.
        """
        x: Tensor = self.layers(torch.cat([filled, mask], dim=1))
        x = x.float()  # in 32 bits: the 8-bit mantissa of mixed precision would cause banding
        match self.output_activation:
            case "sigmoid":
                return x.sigmoid()
            case "tanh":
                return x.tanh()
            case "clamp":
                return x.clamp(*self.values)


def _blocks(section: GlcicParams) -> Iterator[nn.Module]:
    channels = 4  # red, green, blue, mask
    for layer in LAYERS:
        out = scaled(layer.channels, section.width_multiplier)
        if section.convolution == "gated":
            norm = norm_layer(section.norm, out)
            yield Gated(_convolution(layer, channels, 2 * out), norm, activation_layer(section.activation))
        else:
            yield _convolution(layer, channels, out)
            yield norm_layer(section.norm, out)
            yield activation_layer(section.activation, inplace=True)
        channels = out
    yield nn.Conv2d(channels, 3, kernel_size=3, padding=1)


def _convolution(layer: Layer, channels: int, out: int) -> nn.Module:
    padding = layer.dilation * (layer.kernel - 1) // 2
    if layer.scale > 1:
        return nn.ConvTranspose2d(channels, out, layer.kernel, stride=2, padding=padding)
    if layer.dilation > 1:
        return DilatedConv2d(channels, out, layer.dilation)
    return nn.Conv2d(channels, out, layer.kernel, round(1 / layer.scale), padding)
