"""The global and local discriminator (Iizuka, Simo-Serra, Ishikawa, SIGGRAPH 2017, table 2) and its variants."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from glcic.networks.layers import StridedConv2d, activation_layer, apply_spectral_norm, norm_layer, scaled
from glcic.params import GlobalLocalParams

CHANNELS = (64, 128, 256, 512, 512, 512)
FEATURES = 1024  # length of each branch's output vector


class GlobalLocalDiscriminator(nn.Module):
    """A global branch that sees the whole image and a local one that sees a window around the hole.

    Each branch is a stack of 5×5 stride-2 convolutions and a fully connected layer; both vectors are
    concatenated and fused into one logit, by the same layer for real and completed images.

    Args:
        section: `local_window` is the side of the window in pixels; `global_layers` and `local_layers` are the depths
            of the branches, 6 and 5 in the paper at 256/128, 5 and 5 in its CelebA form at 160/96; `width_multiplier`
            scales the channels and the length of the branch vectors; `norm` follows every convolution, and `activation`
            every layer but the last;
            `head: per_branch` gives each branch its own logit instead of fusing them; `spectral_norm` applies to every
            convolution and linear layer; `mask_channel` gives both branches the mask as a fourth channel.
        image_size: side S of the square image in pixels.
    """

    def __init__(self, section: GlobalLocalParams, image_size: int) -> None:
        super().__init__()
        self.local_window = section.local_window
        self.head = section.head
        self.mask_channel = section.mask_channel
        features = scaled(FEATURES, section.width_multiplier)
        self.global_branch = nn.Sequential(*_branch(section, image_size, section.global_layers))
        self.local_branch = nn.Sequential(*_branch(section, section.local_window, section.local_layers))
        self.activation = activation_layer(section.activation)
        if section.head == "fused":
            self.fusion = nn.Linear(2 * features, 1)
        else:
            self.global_head = nn.Linear(features, 1)
            self.local_head = nn.Linear(features, 1)
        if section.spectral_norm:
            apply_spectral_norm(self)

    def forward(self, image: Tensor, mask: Tensor, corner: Tensor) -> Tensor:
        """Judge images.

        Args:
            image: (N, 3, S, S), real images or composites, never raw outputs, in the networks' range.
            mask: (N, 1, S, S), 1 in the hole; used only with `mask_channel`.
            corner: (N, 2), int64, top and left of each image's own local window, in pixels.

        Returns:
            (N, K), logits, positive for real; K is 1 when fused, else 2: the global and the local head.
        """
        if self.mask_channel:
            image = torch.cat([image, mask], dim=1)
        window = cut_windows(image, corner, self.local_window)
        vectors = self.activation(self.global_branch(image)), self.activation(self.local_branch(window))
        if self.head == "fused":
            fused: Tensor = self.fusion(torch.cat(vectors, dim=1))
            return fused
        return torch.cat([self.global_head(vectors[0]), self.local_head(vectors[1])], dim=1)


def cut_windows(image: Tensor, corner: Tensor, side: int) -> Tensor:
    """Cut one square window per image, without a loop over the batch.

    Args:
        image: (N, C, H, W).
        corner: (N, 2), int64, top and left; the window must lie inside the image.
        side: side of the window, in pixels.

    Returns:
        (N, C, side, side); gradients flow back into the window's pixels.
    """
    offset = torch.arange(side, device=image.device)
    rows = corner[:, 0, None] + offset  # (N, side)
    columns = corner[:, 1, None] + offset
    n = torch.arange(len(image), device=image.device)[:, None, None]
    return image[n, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _branch(section: GlobalLocalParams, side: int, convolutions: int) -> Iterator[nn.Module]:
    channels = 3 + section.mask_channel
    for paper in CHANNELS[:convolutions]:
        out = scaled(paper, section.width_multiplier)
        yield StridedConv2d(channels, out, kernel_size=5, stride=2, padding=2)
        yield norm_layer(section.norm, out)
        yield activation_layer(section.activation, inplace=True)
        channels, side = out, -(-side // 2)
    yield nn.Flatten()
    yield nn.Linear(channels * side * side, scaled(FEATURES, section.width_multiplier))
