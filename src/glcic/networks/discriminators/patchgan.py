"""The patch discriminator (Isola et al., CVPR 2017, "Image-to-image translation"), in a small form."""

import torch
from torch import Tensor, nn

from glcic.networks.layers import activation_layer, normalise_spectra
from glcic.params import PatchGAN


class PatchDiscriminator(nn.Module):
    """Judges every patch of 22×22 pixels, one each 4 pixels; with 32 channels it has 35,553 parameters.

    Args:
        section: `channels` of the first convolution, the second has twice as many; `spectral_norm` is of every
            convolution; `mask_channel` shows the mask as a fourth channel.
    """

    local_window = None  # it has no use for one

    def __init__(self, section: PatchGAN) -> None:
        super().__init__()
        channels, self.mask_channel = section.channels, section.mask_channel
        self.layers = nn.Sequential(
            nn.Conv2d(3 + section.mask_channel, channels, kernel_size=4, stride=2, padding=1),
            activation_layer("leaky_relu", inplace=True),
            nn.Conv2d(channels, 2 * channels, kernel_size=4, stride=2, padding=1),
            nn.BatchNorm2d(2 * channels),
            activation_layer("leaky_relu", inplace=True),
            nn.Conv2d(2 * channels, 1, kernel_size=4, padding=1),
        )
        if section.spectral_norm:
            normalise_spectra(self)

    def forward(self, image: Tensor, mask: Tensor, corner: Tensor) -> Tensor:
        """Judge images.

        Args:
            image: (N, 3, H, W): real images or composites, never raw outputs.
            mask: (N, 1, H, W), 1 in the hole; read only with `mask_channel`.
            corner: ignored, here because every discriminator is called alike.

        Returns:
            (N, K) logits, positive for real, one per patch, row by row; K is (H/4 − 1)·(W/4 − 1).
        """
        if self.mask_channel:
            image = torch.cat([image, mask], dim=1)
        patches: Tensor = self.layers(image)
        return patches.flatten(1)
