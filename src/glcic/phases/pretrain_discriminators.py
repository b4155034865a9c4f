"""Phase 2: the discriminators alone learn to distinguish real images from the frozen generator's composites."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from glcic.data.batches import Batch
from glcic.params import GAN, Input, PretrainDiscriminators
from glcic.training.losses import d_loss_fake, d_loss_real, r1_penalty
from glcic.training.phase import (
    DiscriminatorScores,
    MaskedBatch,
    Phase,
    complete,
    gradient,
    is_real,
    judge_both,
    mean,
)


class PretrainDiscriminatorsPhase(Phase):
    """Minimizes −log D(x) − log(1 − D(composite)) over D, with G in eval mode and outside the graph."""

    def __init__(
        self,
        fabric: Fabric,
        generator: nn.Module,
        discriminator: nn.Module,
        section: PretrainDiscriminators,
        gan: GAN,
        input_params: Input,
        mean_pixel: Sequence[float],
        compile_it: bool = False,
    ) -> None:
        super().__init__(fabric, section, input_params, mean_pixel)
        self.gan = gan
        self.G = generator.to(fabric.device).eval().requires_grad_(False)
        self.D = self.register("discriminator", discriminator, section.optimizer, compile_it)

    def step(self, parts: Sequence[MaskedBatch]) -> dict[str, Tensor]:
        """Update the discriminator once, with a batch in equal parts; returns scalar losses."""
        with self.fabric.autocast():
            completed = [complete(self.G, part) for part in parts]
        losses = backward_discriminator(self, self.D, parts, completed, self.gan)
        self.update("discriminator")
        return mean([{k: v for k, v in part.items() if k != "accuracy"} for part in losses])

    def validate(self, batches: Sequence[Batch]) -> dict[str, float]:
        """Score the discriminator on the validation images."""
        scores = DiscriminatorScores(self.networks["discriminator"], self.gan.loss)
        for images in map(self.preprocess, batches):
            scores.add(images, complete(self.G, images))
        return scores.values()


def backward_discriminator(
    phase: Phase, D: nn.Module, parts: Sequence[MaskedBatch], completed: Sequence[Tensor], gan: GAN
) -> list[dict[str, Tensor]]:
    """Compute the discriminator's gradients; real images and composites pass in one batch, see `judge_both`.

    Args:
        phase: the phase, with an optimizer named `discriminator`.
        D: the discriminator.
        parts: a batch in equal parts.
        completed: composites (N, 3, S, S) of each part, outside any graph.
        gan: the parameters of the adversarial loss.

    Returns:
        Scalar losses of each part, and the fraction of its images that D classified correctly (`accuracy`).
    """
    phase.optimizers["discriminator"].zero_grad()  # also drops any gradients left by the generator's step
    losses = []
    for part, composites in zip(parts, completed, strict=True):
        x = part.image.detach().requires_grad_(gan.r1_gamma > 0)
        with phase.synchronized("discriminator", last=part is parts[-1]):
            on_real, on_completed = judge_both(D, replace(part, image=x), composites)
            real = d_loss_real(on_real, gan.loss, gan.real_label)
            fake = d_loss_fake(on_completed, gan.loss)
            loss = real + fake
            found = {"d_loss_real": real, "d_loss_fake": fake}
            if gan.r1_gamma > 0:
                found["r1_penalty"] = r1_penalty(gradient(on_real.sum(), x, create_graph=True))
                loss = loss + gan.r1_gamma * found["r1_penalty"]
            phase.fabric.backward(loss / len(parts))
        right = torch.cat([is_real(on_real, gan.loss), ~is_real(on_completed, gan.loss)])
        losses.append({**found, "accuracy": right.float().mean()})
    return losses
