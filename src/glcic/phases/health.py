"""Health of adversarial training beyond its scores: balance of the generator's losses, saturation, diversity.

Like every part of validation, this changes nothing: the generator is in eval mode, the discriminator judges as in
training (`frozen_judge`), both in 32 bits; no gradient is kept, and no randomness is used.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from glcic.data.batches import Batch
from glcic.masks.preprocessing import Preprocessor
from glcic.networks.layers import last_layer
from glcic.training.phase import frozen


class Health:
    """Gradients, saturation and diversity on the validation images.

    Args:
        preprocessor: converts the networks' range.
        adv_weight: α, fixed weight of the adversarial loss; None if it changes from step to step.
    """

    def __init__(self, preprocessor: Preprocessor, adv_weight: float | None) -> None:
        self._to_unit, self._adv_weight = preprocessor.to_unit, adv_weight
        self._images, self._saturated, self._values = 0, 0, 0
        self._gradients: Tensor | int = 0  # (2, …), sums over the images
        self._diversity = Diversity()

    def add(self, batch: Batch, output: Tensor, gradients: Sequence[Tensor]) -> None:
        """Add images.

        Args:
            batch: the images.
            output: the generator's, (N, 3, S, S), in the networks' range.
            gradients: of the reconstruction and of the adversarial loss, means over these images without weights, at
                the generator's last layer.
        """
        self._images += len(batch.image)
        self._gradients = self._gradients + torch.stack(list(gradients)) * len(batch.image)
        levels = (self._to_unit(output.detach()) * 255).round().clamp(0, 255)  # as saved in 8 bits
        completed, mask = levels.long().cpu(), batch.mask.long()
        ends = ((completed == 0) | (completed == 255)) & mask.bool()
        self._saturated, self._values = self._saturated + int(ends.sum()), self._values + 3 * int(mask.sum())
        self._diversity.add(completed, batch.image.long(), mask)

    def values(self) -> dict[str, float]:
        """Return the scores of the images so far.

        Returns:
            val_grad_norm_rec, val_grad_norm_adv: norm of the gradient of each loss's mean over the images
                at the network's last layer, the latter without α;
            val_grad_norm_ratio: α · adversarial / reconstruction, if α is fixed; an adaptive α is in the curve;
            val_saturated: fraction of the values in the holes that are 0 or 255 in 8 bits;
            val_diversity: see `Diversity`.
            Undefined scores (a ratio to 0) are left out.
        """
        means = torch.as_tensor(self._gradients) / self._images
        reconstruction, adversarial = means.flatten(1).norm(dim=1).tolist()
        scores = {"val_grad_norm_rec": reconstruction, "val_grad_norm_adv": adversarial}
        if self._adv_weight is not None and reconstruction > 0:
            scores["val_grad_norm_ratio"] = self._adv_weight * adversarial / reconstruction
        scores["val_saturated"] = self._saturated / self._values
        if (value := self._diversity.value()) is not None:
            scores["val_diversity"] = value
        return scores


class Diversity:
    """Variation of completions among images, compared with the ground truth.

    At each pixel and channel, the variance is taken over the images whose hole contains the pixel, if there are at
    least two, and summed over pixels and channels. The value is the root of the ratio of the completions' sum to the
    ground truth's: 1 is as varied as the truth, 0 is the same completion for all. A network that predicts conditional
    means scores its correlation with the truth.
    """

    def __init__(self) -> None:
        self._images: Tensor | int = 0  # (1, 1, S, S): number of images whose hole contains the pixel
        self._sums: Tensor | int = 0  # (2, 3, S, S), of completions and ground truth
        self._squares: Tensor | int = 0

    def add(self, completed: Tensor, image: Tensor, mask: Tensor) -> None:
        """Add images.

        Args:
            completed, image: (N, 3, S, S), int64, in [0, 255], so that sums are exact and equal images differ by 0.
            mask: (N, 1, S, S), int64, 1 in the hole.
        """
        both = torch.stack([completed, image]) * mask
        self._images = self._images + mask.sum(dim=0, keepdim=True)
        self._sums = self._sums + both.sum(dim=1)
        self._squares = self._squares + both.square().sum(dim=1)

    def value(self) -> float | None:
        """Diversity of the images so far; None if the ground truth does not vary, or no two holes overlap."""
        n = torch.as_tensor(self._images)
        variance = (n * self._squares - torch.as_tensor(self._sums).square()).double() / n.square().clamp_min(1)
        completed, truth = variance.flatten(1).sum(dim=1).tolist()  # 0 where n < 2: one image does not vary
        return (completed / truth) ** 0.5 if truth > 0 else None


@contextmanager
def last_layer_alone(network: nn.Module) -> Iterator[Tensor]:
    """Yield the last layer's weight, the only parameter with gradients, which keeps graphs short."""
    weight = last_layer(network)
    with frozen(network):
        weight.requires_grad_(True)
        try:
            yield weight
        finally:
            weight.requires_grad_(False)
