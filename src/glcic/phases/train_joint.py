"""Phase 3: completion network and discriminators train together."""

from collections.abc import Sequence
from functools import partial

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from glcic.data.batches import Batch
from glcic.masks.geometry import composite
from glcic.networks.layers import last_layer
from glcic.params import Adversarial, Input, TrainJoint
from glcic.phases.health import health_scores
from glcic.phases.pretrain_discriminators import discriminator_gradients
from glcic.training.losses import balanced_weight, generator_loss, reconstruction_loss
from glcic.training.phase import (
    Phase,
    PreparedBatch,
    discriminator_scores,
    frozen,
    gradient,
    mean,
    region_of,
    total,
    validation_scores,
)

ACCURACIES = 50  # steps over which the discriminator's accuracy is averaged before one is skipped


class TrainJointPhase(Phase):
    """min_C max_D  reconstruction + α·(log D(x) + log(1 − D(composite))).

    One forward pass of C in train mode serves both updates: D, in train mode, sees its composite outside the
    graph; then C sees the updated D frozen in eval mode, and maximises log D(composite), the form of the
    adversarial loss whose gradient does not vanish when D wins. α is fixed, or such that at C's last layer the
    adversarial gradient's norm keeps a stated ratio to the reconstruction's.
    """

    def __init__(
        self,
        fabric: Fabric,
        completion_network: nn.Module,
        discriminator: nn.Module,
        section: TrainJoint,
        adversarial: Adversarial,
        seen: Input,
        mean_pixel: Sequence[float],
        compile_it: bool = False,
    ) -> None:
        super().__init__(fabric, section, seen, mean_pixel)
        self.reconstruction = section.reconstruction
        self.adversarial = adversarial
        self.alpha = section.adversarial
        self.skip_above = section.skip_above
        self.accumulate = section.accumulate
        self.C = self.register("completion", completion_network, section.generator_optimiser, compile_it, section.ema)
        self.D = self.register("discriminator", discriminator, section.discriminator_optimiser, compile_it)
        if self.skip_above is not None:
            self.memory["accuracies"] = torch.full((ACCURACIES,), 0.5, device=fabric.device)  # chance

    def step(self, parts: Sequence[PreparedBatch]) -> dict[str, Tensor]:
        # Several parts are to save memory, so their graphs are not kept until D is updated: C passes them again, and
        # its batch-norm statistics move twice.
        outputs = [self.C(part.filled, part.dilated) for part in parts] if len(parts) == 1 else None
        with torch.no_grad():
            judged = outputs or (self.C(part.filled, part.dilated) for part in parts)
            completed = [composite(o, part.image, part.mask) for o, part in zip(judged, parts, strict=True)]
        of_discriminator = self._update_discriminator(parts, completed)

        self.optimisers["completion"].zero_grad()
        losses = []
        for k, part in enumerate(parts):
            output = outputs[k] if outputs else self.C(part.filled, part.dilated)
            losses.append(self._generator_gradients(part, output, len(parts)))
        self.update("completion")
        return {**mean(losses), **of_discriminator}

    def _update_discriminator(self, parts: Sequence[PreparedBatch], completed: Sequence[Tensor]) -> dict[str, Tensor]:
        losses = mean(discriminator_gradients(self, self.D, parts, completed, self.adversarial))
        accuracy = losses.pop("accuracy")
        if self.skip_above is None:
            self.update("discriminator")
            return losses
        skipped = self.memory["accuracies"].mean() > self.skip_above
        if not skipped:
            self.update("discriminator")
        accuracy = total(self.fabric, accuracy) / self.fabric.world_size  # all processes skip, or none
        self.memory["accuracies"] = torch.cat([self.memory["accuracies"][1:], accuracy[None]])
        return {**losses, "skipped": skipped.float()}

    def _generator_gradients(self, part: PreparedBatch, output: Tensor, parts: int) -> dict[str, Tensor]:
        with self.fabric.no_backward_sync(self.D):
            reconstruction, adversarial = self._generator_losses(part, output, self.D)
        losses = {"reconstruction": reconstruction, "adversarial": adversarial}
        alpha: float | Tensor | None = self.alpha.weight
        if alpha is None:
            assert self.alpha.balance is not None
            weight = last_layer(self.networks["completion"])
            wanted, given = (gradient(loss, weight) for loss in (reconstruction, adversarial))
            alpha = balanced_weight(wanted, given, self.alpha.balance)
            alpha = total(self.fabric, alpha) / self.fabric.world_size
            losses["alpha"] = alpha
        self.fabric.backward((reconstruction + alpha * adversarial) / parts)
        return losses

    def _generator_losses(self, part: PreparedBatch, output: Tensor, D: nn.Module) -> tuple[Tensor, Tensor]:
        """Reconstruction and adversarial loss, each without its weight in the sum."""
        region = region_of(part, self.reconstruction)
        reconstruction = reconstruction_loss(output, part.image, region, self.reconstruction, self.prepare.span)
        completed = composite(output, part.image, part.mask)
        with frozen(D):
            return reconstruction, generator_loss(D(completed, part.mask, part.window), self.adversarial.loss)

    def validate(self, batches: Sequence[Batch]) -> dict[str, float]:
        C, D = self.kept("completion"), self.networks["discriminator"]
        of_discriminator = discriminator_scores(self, C, D, batches, self.adversarial.loss)
        losses = partial(self._generator_losses, D=D)
        health = health_scores(self, C, losses, batches, self.alpha.weight, self.accumulate * self.fabric.world_size)
        return {**validation_scores(self, C, batches), **of_discriminator, **health}
