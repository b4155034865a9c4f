"""How an adversarial training fares beyond its scores: what pulls at the generator, and whether its answers differ.

Like all of a validation it changes nothing: networks in eval mode, in 32 bits, no gradient kept, no randomness.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from glcic.data.batches import Batch
from glcic.networks.layers import last_layer
from glcic.training.phase import Phase, PreparedBatch, frozen, gradient

# Images and output → reconstruction and adversarial loss, means over the images.
Losses = Callable[[PreparedBatch, Tensor], tuple[Tensor, Tensor]]


def health_scores(
    phase: Phase, network: nn.Module, losses: Losses, batches: Sequence[Batch], alpha: float | None, parts: int = 1
) -> dict[str, float]:
    """Gradients, saturation and variety on the validation images.

    Args:
        network: the completion network that is scored.
        losses: reconstruction and adversarial loss of its output (N, 3, S, S), without weights; graphs may pass
            through the frozen discriminator.
        alpha: fixed weight of the adversarial loss; None: it changes from step to step.
        parts: into which a batch is split, so that its graphs need no more memory than those of training.

    Returns:
        val_gradient_reconstruction, val_gradient_adversarial: norm of the gradient of each loss's mean over the images
            at the network's last layer, the latter without α;
        val_gradient_ratio: α · adversarial / reconstruction, if α is fixed; where it is balanced, the curve has it;
        val_saturated: share of the values in the holes that are 0 or 255 in 8 bits;
        val_variety: see `Variety`.
        What is undefined (a ratio to 0) is left out.
    """
    n = sum(len(batch.image) for batch in batches)
    saturated, values, variety = 0, 0, Variety()
    with _last_layer_alone(network) as weight:
        pulls = torch.zeros(2, *weight.shape, device=weight.device)
        for part in (part for batch in batches for part in batch.split(parts)):
            images = phase.images(part)
            output = network(images.filled, images.dilated)
            found = torch.stack([gradient(loss, weight) for loss in losses(images, output)])
            pulls += found * (len(part.image) / n)

            levels = (phase.prepare.to_unit(output.detach()) * 255).round().clamp(0, 255)  # as saved in 8 bits
            completed, mask = levels.long().cpu(), part.mask.long()
            ends = ((completed == 0) | (completed == 255)) & mask.bool()
            saturated, values = saturated + int(ends.sum()), values + 3 * int(mask.sum())
            variety.add(completed, part.image.long(), mask)
    reconstruction, adversarial = pulls.flatten(1).norm(dim=1).tolist()
    scores = {"val_gradient_reconstruction": reconstruction, "val_gradient_adversarial": adversarial}
    if alpha is not None and reconstruction > 0:
        scores["val_gradient_ratio"] = alpha * adversarial / reconstruction
    scores["val_saturated"] = saturated / values
    if (varied := variety.value()) is not None:
        scores["val_variety"] = varied
    return scores


class Variety:
    """How much completions differ among images, compared with the ground truth.

    At each pixel and channel, the variance over those images whose hole contains the pixel, if there are at least two;
    summed over pixels and channels; the root of completions' sum over the ground truth's. 1: as varied as the truth;
    0: the same answer for all. A network that answers with conditional means has its correlation with the truth.
    """

    def __init__(self) -> None:
        self._images: Tensor | int = 0  # (1, 1, S, S): whose hole contains the pixel
        self._sums: Tensor | int = 0  # (2, 3, S, S), of completions and ground truth
        self._squares: Tensor | int = 0

    def add(self, completed: Tensor, image: Tensor, mask: Tensor) -> None:
        """Count images in.

        Args:
            completed, image: (N, 3, S, S), int64, 0 to 255, so that the sums are exact and equal images differ by 0.
            mask: (N, 1, S, S), int64, 1 in the hole.
        """
        both = torch.stack([completed, image]) * mask
        self._images = self._images + mask.sum(dim=0, keepdim=True)
        self._sums = self._sums + both.sum(dim=1)
        self._squares = self._squares + both.square().sum(dim=1)

    def value(self) -> float | None:
        """None where the ground truth does not differ, or no two holes overlap."""
        n = torch.as_tensor(self._images)
        variance = (n * self._squares - torch.as_tensor(self._sums).square()).double() / n.square().clamp_min(1)
        completed, truth = variance.flatten(1).sum(dim=1).tolist()  # 0 where n < 2: one image does not vary
        return (completed / truth) ** 0.5 if truth > 0 else None


@contextmanager
def _last_layer_alone(network: nn.Module) -> Iterator[Tensor]:
    """The weight of the last layer, with gradients for it and nothing before it, which makes for short graphs."""
    weight = last_layer(network)
    with frozen(network):
        weight.requires_grad_(True)
        try:
            yield weight
        finally:
            weight.requires_grad_(False)
