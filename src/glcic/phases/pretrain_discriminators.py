"""Phase 2: the discriminators alone learn to tell real images from the frozen completion network's composites."""

from collections.abc import Sequence

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from glcic.data.batches import Batch
from glcic.params import Adversarial, Input, PretrainDiscriminators
from glcic.training.losses import completed_loss, r1_penalty, real_loss
from glcic.training.phase import (
    Phase,
    PreparedBatch,
    complete,
    discriminator_scores,
    gradient,
    is_real,
    mean,
    real_window_of,
)


class PretrainDiscriminatorsPhase(Phase):
    """min_D  −log D(x) − log(1 − D(composite)), with C in eval mode and outside the graph."""

    def __init__(
        self,
        fabric: Fabric,
        completion_network: nn.Module,
        discriminator: nn.Module,
        section: PretrainDiscriminators,
        adversarial: Adversarial,
        seen: Input,
        mean_pixel: Sequence[float],
        compile_it: bool = False,
    ) -> None:
        super().__init__(fabric, section, seen, mean_pixel)
        self.adversarial = adversarial
        self.C = completion_network.to(fabric.device).eval().requires_grad_(False)
        self.D = self.register("discriminator", discriminator, section.optimiser, compile_it)

    def step(self, parts: Sequence[PreparedBatch]) -> dict[str, Tensor]:
        with self.fabric.autocast():
            completed = [complete(self.C, part) for part in parts]
        losses = discriminator_gradients(self, self.D, parts, completed, self.adversarial)
        self.update("discriminator")
        return mean([{k: v for k, v in part.items() if k != "accuracy"} for part in losses])

    def validate(self, batches: Sequence[Batch]) -> dict[str, float]:
        return discriminator_scores(self, self.C, self.networks["discriminator"], batches, self.adversarial.loss)


def discriminator_gradients(
    phase: Phase, D: nn.Module, parts: Sequence[PreparedBatch], completed: Sequence[Tensor], section: Adversarial
) -> list[dict[str, Tensor]]:
    """Gather the discriminator's gradients; `completed` (N, 3, S, S) are the parts' composites outside any graph.

    Real images and composites pass in one batch. In two, each would be normalised by its own statistics, and D
    could tell them apart by what the batch has in common instead of by what an image looks like.

    Returns:
        The losses of each part, and the share of its images that were recognised.
    """
    phase.optimisers["discriminator"].zero_grad()  # also drops what the generator's step might have left
    losses = []
    for part, composites in zip(parts, completed, strict=True):
        x = part.image.detach().requires_grad_(section.r1 > 0)
        windows = torch.cat([real_window_of(D, part), part.window])
        logits = D(torch.cat([x, composites]), torch.cat([part.mask, part.mask]), windows)
        on_real, on_completed = logits.chunk(2)
        real = real_loss(on_real, section.loss, section.real_label)
        fake = completed_loss(on_completed, section.loss)
        loss = real + fake
        found = {"discriminator_real": real, "discriminator_completed": fake}
        if section.r1 > 0:
            found["r1"] = r1_penalty(gradient(on_real.sum(), x, create_graph=True))
            loss = loss + section.r1 * found["r1"]
        phase.fabric.backward(loss / len(parts))
        right = torch.cat([is_real(on_real, section.loss), ~is_real(on_completed, section.loss)])
        losses.append({**found, "accuracy": right.float().mean()})
    return losses
