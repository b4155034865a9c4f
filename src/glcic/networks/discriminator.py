"""The context discriminator (Iizuka, Simo-Serra, Ishikawa, SIGGRAPH 2017, table 2)."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from glcic.networks.completion import scaled

CHANNELS = (64, 128, 256, 512, 512, 512)
FEATURES = 1024  # length of the vector each branch ends in


class ContextDiscriminator(nn.Module):
    """A global branch that sees the whole image and a local one that sees a window around the hole.

    Each branch is a stack of 5×5 stride-2 convolutions and a fully connected layer; both vectors are
    concatenated and fused into one logit, the same layer for real and completed images.

    Args:
        size: side of the (square) image in pixels.
        local_window: side of the window in pixels.
        global_convolutions, local_convolutions: depth of each branch; 6 and 5 in the paper at 256/128,
            5 and 5 in its CelebA form at 160/96.
        width: multiplies the channels and the length of the branch vectors.
    """

    def __init__(
        self,
        size: int,
        local_window: int,
        global_convolutions: int = 6,
        local_convolutions: int = 5,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        self.local_window = local_window
        self.global_branch = nn.Sequential(*_branch(size, global_convolutions, width))
        self.local_branch = nn.Sequential(*_branch(local_window, local_convolutions, width))
        self.fusion = nn.Linear(2 * scaled(FEATURES, width), 1)

    def forward(self, image: Tensor, corner: Tensor) -> Tensor:
        """Judge images.

        Args:
            image: (N, 3, S, S), in [0, 1]: real images or composites, never raw outputs.
            corner: (N, 2), integer: top and left of each image's own local window, in pixels.

        Returns:
            (N,) logits, positive for real.
        """
        window = cut_windows(image, corner, self.local_window)
        features = torch.cat([self.global_branch(image), self.local_branch(window)], dim=1)
        return self.fusion(torch.relu(features)).squeeze(1)


def cut_windows(image: Tensor, corner: Tensor, side: int) -> Tensor:
    """Cut one square window per image, without a loop over the batch.

    Args:
        image: (N, C, H, W).
        corner: (N, 2), integer top and left; the window must lie inside the image.
        side: of the window, in pixels.

    Returns:
        (N, C, side, side); gradients flow back into the window's pixels.
    """
    offset = torch.arange(side, device=image.device)
    rows = corner[:, 0, None] + offset  # (N, side)
    columns = corner[:, 1, None] + offset
    n = torch.arange(len(image), device=image.device)[:, None, None]
    return image[n, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _branch(side: int, convolutions: int, width: float) -> Iterator[nn.Module]:
    channels = 3
    for paper in CHANNELS[:convolutions]:
        out = scaled(paper, width)
        yield nn.Conv2d(channels, out, kernel_size=5, stride=2, padding=2)
        yield nn.BatchNorm2d(out)
        yield nn.ReLU(inplace=True)
        channels, side = out, -(-side // 2)
    yield nn.Flatten()
    yield nn.Linear(channels * side * side, scaled(FEATURES, width))
