"""A U-Net with self-attention at its bottleneck, the generator of the preset `unet-attention`."""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d, scaled_dot_product_attention

from glcic.networks.layers import activation_layer
from glcic.params import UNetParams


class UNetAttention(nn.Module):
    """A fully convolutional U-Net: takes any (N, 3, H, W) with H and W divisible by `stride`.

    Args:
        section: `channels` of the first level; 64 gives 4,880,836 parameters.
    """

    stride = 8

    def __init__(self, section: UNetParams) -> None:
        super().__init__()
        n = section.channels
        self.enc1 = _block(4, n, n)  # red, green, blue, mask
        self.enc2 = _block(n, 2 * n, 2 * n)
        self.enc3 = _block(2 * n, 4 * n, 4 * n)
        self.attention = SelfAttention(4 * n)
        self.bottleneck = _block(4 * n, 4 * n, 4 * n)
        self.dec3 = _block(8 * n, 4 * n, 4 * n)
        self.dec2 = _block(6 * n, 2 * n, 2 * n)
        self.dec1 = _block(3 * n, n, 3)[:-1]  # tanh takes the place of the last activation

    def forward(self, filled: Tensor, mask: Tensor) -> Tensor:
        """Complete images.

        Args:
            filled: (N, 3, H, W), the hole overwritten by the fill, in [-1, 1].
            mask: (N, 1, H, W), 1 in the hole and 0 elsewhere.

        Returns:
            (N, 3, H, W), float32, in [-1, 1], the whole raw output; only its hole belongs in a composite.
        """
        full = self.enc1(torch.cat([filled, mask], dim=1))
        half = self.enc2(max_pool2d(full, 2))
        quarter = self.enc3(max_pool2d(half, 2))
        x: Tensor = self.bottleneck(self.attention(max_pool2d(quarter, 2)))
        x = self.dec3(_join(x, quarter))
        x = self.dec2(_join(x, half))
        x = self.dec1(_join(x, full))
        return x.float().tanh()  # in 32 bits: the 8-bit mantissa of mixed precision would cause banding


class SelfAttention(nn.Module):
    """Self-attention, in which every position attends to all others (Zhang et al., ICML 2019, "Self-attention GANs").

    Args:
        channels: channels of input and output; queries and keys have an eighth of them.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, channels // 8, kernel_size=1)
        self.key = nn.Conv2d(channels, channels // 8, kernel_size=1)
        self.value = nn.Conv2d(channels, channels, kernel_size=1)
        self.gamma = nn.Parameter(torch.zeros(1))  # starts as the identity

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape: x + gamma · attention(x)."""
        query, key, value = (_sequence(layer(x)) for layer in (self.query, self.key, self.value))
        seen = scaled_dot_product_attention(query, key, value, scale=1.0)
        return x + self.gamma * seen.squeeze(1).transpose(1, 2).reshape(x.shape)


def _sequence(x: Tensor) -> Tensor:
    """Reshape (N, C, H, W) to (N, 1, H·W, C), one head."""
    return x.flatten(2).transpose(1, 2).unsqueeze(1)


def _join(x: Tensor, skip: Tensor) -> Tensor:
    """Double the side of x and append the encoder's features of that size as channels."""
    return torch.cat([interpolate(x, scale_factor=2, mode="bilinear"), skip], dim=1)


def _block(channels: int, middle: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, middle, kernel_size=3, padding=1),
        activation_layer("leaky_relu", inplace=True),
        nn.Conv2d(middle, out, kernel_size=3, padding=1),
        activation_layer("leaky_relu", inplace=True),
    )
