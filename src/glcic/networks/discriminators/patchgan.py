"""The patch discriminator (Isola et al., CVPR 2017, "Image-to-image translation"), in a small form."""

import torch
from torch import Tensor, nn

from glcic.networks.layers import activation_layer, apply_spectral_norm, norm_layer
from glcic.params import PatchGANParams


class PatchDiscriminator(nn.Module):
    """Judges patches of 22×22 pixels at a stride of 4 pixels; with 32 channels it has 35,553 parameters.

    Args:
        section: `channels` of the first convolution; the second has twice as many, followed by `norm`. `spectral_norm`
            applies to every convolution; `mask_channel` adds the mask as a fourth channel.
    """

    local_window = None  # not used

    def __init__(self, section: PatchGANParams) -> None:
        super().__init__()
        channels, self.mask_channel = section.channels, section.mask_channel
        self.layers = nn.Sequential(
            nn.Conv2d(3 + section.mask_channel, channels, kernel_size=4, stride=2, padding=1),
            activation_layer("leaky_relu", inplace=True),
            nn.Conv2d(channels, 2 * channels, kernel_size=4, stride=2, padding=1),
            norm_layer(section.norm, 2 * channels),
            activation_layer("leaky_relu", inplace=True),
            nn.Conv2d(2 * channels, 1, kernel_size=4, padding=1),
        )
        if section.spectral_norm:
            apply_spectral_norm(self)

    def forward(self, image: Tensor, mask: Tensor, corner: Tensor) -> Tensor:
        """Judge images.

        Args:
            image: (N, 3, H, W), real images or composites, never raw outputs, in the networks' range.
            mask: (N, 1, H, W), 1 in the hole; used only with `mask_channel`.
            corner: ignored; it is here because all discriminators share one signature.

        Returns:
            (N, K), logits, positive for real, one per patch, row by row; K is (H/4 − 1)·(W/4 − 1).
        """
        if self.mask_channel:
            image = torch.cat([image, mask], dim=1)
        patches: Tensor = self.layers(image)
        return patches.flatten(1)
