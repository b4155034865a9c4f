"""The completion network (Iizuka, Simo-Serra, Ishikawa, SIGGRAPH 2017, table 1) and its variants."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from glcic.networks.layers import Gated, activation_layer, normalisation_layer, scaled
from glcic.params import Glcic


class Layer(NamedTuple):
    """One convolution of the table; `scale` is ½ (stride 2), 1, or 2 (transposed, stride ½)."""

    kernel: int
    dilation: int
    scale: float
    channels: int


# Down to a quarter of the side and no further, so that the fill stays sharp; the dilated layers in
# the middle make every output pixel see most of the image.
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


class CompletionNetwork(nn.Module):
    """Fully convolutional: any (N, 3, H, W) with H and W divisible by `stride`.

    With all of the paper's settings it has 6,072,131 parameters.

    Args:
        section: `width` multiplies every channel count; `normalisation` and `activation` come after every convolution
            but the last (leaky ReLU has slope 0.2); `convolution: gated` gives each of these a gate of its own;
            `output` is what the last one goes through.
        values: smallest and largest value of a `clamp` output.
    """

    stride = 4

    def __init__(self, section: Glcic, values: tuple[float, float] = (0.0, 1.0)) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_blocks(section))
        self.output = section.output
        self.values = values

    def forward(self, filled: Tensor, mask: Tensor) -> Tensor:
        """Complete images.

        Args:
            filled: (N, 3, H, W), the hole overwritten by the fill; the paper's is the training split's mean pixel.
            mask: (N, 1, H, W), 1 in the hole and 0 elsewhere.

        Returns:
            (N, 3, H, W), the whole raw output, of which only the hole belongs into a composite; in [0, 1]
            after sigmoid, in [-1, 1] after tanh, within `values` after clamp.
        """
        x: Tensor = self.layers(torch.cat([filled, mask], dim=1))
        x = x.float()  # in 32 bits: under mixed precision 8 bits of mantissa would band the output
        match self.output:
            case "sigmoid":
                return x.sigmoid()
            case "tanh":
                return x.tanh()
            case "clamp":
                return x.clamp(*self.values)


def _blocks(section: Glcic) -> Iterator[nn.Module]:
    channels = 4  # red, green, blue, mask
    for layer in LAYERS:
        out = scaled(layer.channels, section.width)
        if section.convolution == "gated":
            norm = normalisation_layer(section.normalisation, out)
            yield Gated(_convolution(layer, channels, 2 * out), norm, activation_layer(section.activation))
        else:
            yield _convolution(layer, channels, out)
            yield normalisation_layer(section.normalisation, out)
            yield activation_layer(section.activation, inplace=True)
        channels = out
    yield nn.Conv2d(channels, 3, kernel_size=3, padding=1)


def _convolution(layer: Layer, channels: int, out: int) -> nn.Module:
    padding = layer.dilation * (layer.kernel - 1) // 2
    if layer.scale > 1:
        return nn.ConvTranspose2d(channels, out, layer.kernel, stride=2, padding=padding)
    return nn.Conv2d(channels, out, layer.kernel, round(1 / layer.scale), padding, layer.dilation)
