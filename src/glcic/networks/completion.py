"""The completion network (Iizuka, Simo-Serra, Ishikawa, SIGGRAPH 2017, table 1)."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn


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


def scaled(channels: int, width: float) -> int:
    """`channels` of the paper under the width multiplier, at least one."""
    return max(1, round(channels * width))


class CompletionNetwork(nn.Module):
    """Fully convolutional: any (N, 3, H, W) with H and W divisible by 4.

    Args:
        width: multiplies every channel count; 1 is the paper's network with 6,072,131 parameters.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_blocks(width))

    def forward(self, filled: Tensor, mask: Tensor) -> Tensor:
        """Complete images.

        Args:
            filled: (N, 3, H, W), in [0, 1], the hole overwritten by the fill (the training split's mean pixel).
            mask: (N, 1, H, W), 1 in the hole and 0 elsewhere.

        Returns:
            (N, 3, H, W), in [0, 1]: the whole raw output; only its hole belongs into a composite.
        """
        logits = self.layers(torch.cat([filled, mask], dim=1))
        return logits.float().sigmoid()  # in 32 bits: under mixed precision 8 bits of mantissa would band the output


def _blocks(width: float) -> Iterator[nn.Module]:
    channels = 4  # red, green, blue, mask
    for layer in LAYERS:
        out = scaled(layer.channels, width)
        padding = layer.dilation * (layer.kernel - 1) // 2
        if layer.scale > 1:
            yield nn.ConvTranspose2d(channels, out, layer.kernel, stride=2, padding=padding)
        else:
            stride = round(1 / layer.scale)
            yield nn.Conv2d(channels, out, layer.kernel, stride, padding, layer.dilation)
        yield nn.BatchNorm2d(out)
        yield nn.ReLU(inplace=True)
        channels = out
    yield nn.Conv2d(channels, 3, kernel_size=3, padding=1)
