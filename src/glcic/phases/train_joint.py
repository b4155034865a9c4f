"""Phase 3: the generator and the discriminators train together."""

from collections.abc import Sequence

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from glcic.data.batches import Batch
from glcic.masks.geometry import composite
from glcic.networks.layers import last_layer
from glcic.params import GAN, Input, TrainJoint
from glcic.phases.health import Health, last_layer_alone
from glcic.phases.pretrain_discriminators import backward_discriminator
from glcic.training.losses import adaptive_weight, g_loss, reconstruction_loss
from glcic.training.phase import (
    CompletionScores,
    DiscriminatorScores,
    MaskedBatch,
    Phase,
    frozen_judge,
    gradient,
    mean,
    region_of,
    total,
)

ACCURACIES = 50  # steps over which the discriminator's accuracy is averaged, to decide whether it skips an update


class TrainJointPhase(Phase):
    """Solves min_G max_D  reconstruction + α·(log D(x) + log(1 − D(composite))).

    One forward pass of G in train mode serves both updates. First D, in train mode, sees the composite outside the
    graph. Then G sees the updated D, frozen, and maximizes log D(composite), the form of the adversarial loss whose
    gradient does not vanish when D wins. D's batch norm normalizes by the batch there, too: by its running statistics,
    it would teach G worse (measured: docs/design.md). α is either fixed or adaptive; if adaptive, the norms of the
    adversarial and the reconstruction gradient keep a given ratio at G's last layer.
    """

    def __init__(
        self,
        fabric: Fabric,
        generator: nn.Module,
        discriminator: nn.Module,
        section: TrainJoint,
        gan: GAN,
        input_params: Input,
        mean_pixel: Sequence[float],
        compile_it: bool = False,
    ) -> None:
        super().__init__(fabric, section, input_params, mean_pixel)
        self.reconstruction = section.reconstruction
        self.gan = gan
        self.adv_weight, self.adaptive_ratio = section.adv_weight, section.adaptive_ratio
        self.d_skip_accuracy = section.d_skip_accuracy
        self.grad_accum_steps = section.grad_accum_steps
        self.G = self.register("generator", generator, section.optimizer_g, compile_it, section.ema_decay)
        self.D = self.register("discriminator", discriminator, section.optimizer_d, compile_it)
        if self.d_skip_accuracy is not None:
            self.memory["accuracies"] = torch.full((ACCURACIES,), 0.5, device=fabric.device)  # chance

    def step(self, parts: Sequence[MaskedBatch]) -> dict[str, Tensor]:
        """Update both networks once, with a batch in equal parts; returns scalar losses."""
        # Several parts save memory, so their graphs are not kept until D is updated: they pass through G again, which
        # updates its batch-norm statistics twice.
        outputs = [self.G(part.filled, part.dilated) for part in parts] if len(parts) == 1 else None
        with torch.no_grad():
            judged = outputs or (self.G(part.filled, part.dilated) for part in parts)
            completed = [composite(o, part.image, part.mask) for o, part in zip(judged, parts, strict=True)]
        of_discriminator = self._update_discriminator(parts, completed)

        self.optimizers["generator"].zero_grad()
        losses = []
        for k, part in enumerate(parts):
            with self.synchronized("generator", last=part is parts[-1]):
                output = outputs[k] if outputs else self.G(part.filled, part.dilated)
                losses.append(self._backward_generator(part, output, len(parts)))
        self.update("generator")
        return {**mean(losses), **of_discriminator}

    def _update_discriminator(self, parts: Sequence[MaskedBatch], completed: Sequence[Tensor]) -> dict[str, Tensor]:
        losses = mean(backward_discriminator(self, self.D, parts, completed, self.gan))
        accuracy = losses.pop("accuracy")
        if self.d_skip_accuracy is None:
            self.update("discriminator")
            return losses
        skipped = self.memory["accuracies"].mean() > self.d_skip_accuracy
        self.update("discriminator", skip=skipped)
        accuracy = total(self.fabric, accuracy) / self.fabric.world_size  # so that all processes skip, or none
        self.memory["accuracies"] = torch.cat([self.memory["accuracies"][1:], accuracy[None]])
        return {**losses, "d_skipped": skipped.float()}

    def _backward_generator(self, part: MaskedBatch, output: Tensor, parts: int) -> dict[str, Tensor]:
        with self.fabric.no_backward_sync(self.D):
            reconstruction, adversarial = self._generator_losses(part, output, self.D)
        losses = {"g_loss_rec": reconstruction.detach(), "g_loss_adv": adversarial.detach()}
        if self.adv_weight is not None:
            self.fabric.backward((reconstruction + self.adv_weight * adversarial) / parts)
            return losses
        assert self.adaptive_ratio is not None
        # The gradients at the output serve α and the update: a single pass back through D.
        wanted, given = gradient(reconstruction, output), gradient(adversarial, output)
        del reconstruction, adversarial  # and with them D's graph, which a later part of the batch has no room for
        weight = last_layer(self.networks["generator"])
        at_last_layer = gradient(output, weight, after=wanted), gradient(output, weight, after=given)
        adv_weight = adaptive_weight(at_last_layer[0], at_last_layer[1], self.adaptive_ratio)
        losses["adv_weight"] = adv_weight = total(self.fabric, adv_weight) / self.fabric.world_size
        self.fabric.backward(output, gradient=(wanted + adv_weight * given) / parts)
        return losses

    def _generator_losses(self, part: MaskedBatch, output: Tensor, D: nn.Module) -> tuple[Tensor, Tensor]:
        """Reconstruction and adversarial loss, each without its weight in the sum."""
        region = region_of(part, self.reconstruction)
        reconstruction = reconstruction_loss(output, part.image, region, self.reconstruction, self.preprocessor.span)
        completed = composite(output, part.image, part.mask)
        with frozen_judge(D, images=len(completed)):
            return reconstruction, g_loss(D(completed, part.mask, part.window), self.gan.loss)

    def validate(self, batches: Sequence[Batch]) -> dict[str, float]:
        """Score both networks, and the health of their training, on the validation images: one pass of G for all."""
        G, D = self.scored("generator"), self.networks["discriminator"]
        scores, judged = CompletionScores(self.preprocessor), DiscriminatorScores(D, self.gan.loss)
        health = Health(self.preprocessor, self.adv_weight)
        parts = self.grad_accum_steps  # of the whole batch, so that scores do not depend on the number of devices
        with last_layer_alone(G) as weight:
            # Parts have at least two images, which batch norm needs.
            for part in (part for b in batches for part in b.split(min(parts, max(1, len(b.image) // 2)))):
                images = self.preprocess(part)
                output = G(images.filled, images.dilated)
                health.add(part, output, [gradient(loss, weight) for loss in self._generator_losses(images, output, D)])
                completed = composite(output.detach(), images.image, images.mask)
                scores.add(images, completed)
                judged.add(images, completed)
        return scores.values() | judged.values() | health.values()
