"""Phase 3: completion network and discriminators train together."""

from collections.abc import Sequence

from lightning_fabric import Fabric
from torch import Tensor, nn

from glcic.data.batches import Batch
from glcic.losses import real_loss, reconstruction_loss
from glcic.masks import composite
from glcic.params import TrainJoint
from glcic.training.optimisation import make_optimiser
from glcic.training.phase import Images, Phase, discriminator_scores, frozen, validation_scores
from glcic.training.pretrain_discriminators import discriminator_step


class TrainJointPhase(Phase):
    """min_C max_D  reconstruction + α·(log D(x) + log(1 − D(composite))).

    One forward pass of C in train mode serves both updates: D, in train mode, sees its composite outside the
    graph; then C sees the updated D frozen in eval mode, and maximises log D(composite), the form of the
    adversarial loss whose gradient does not vanish when D wins.
    """

    def __init__(
        self,
        fabric: Fabric,
        completion_network: nn.Module,
        discriminator: nn.Module,
        section: TrainJoint,
        mean_pixel: Sequence[float],
        compile_it: bool = False,
    ) -> None:
        super().__init__(fabric, mean_pixel)
        self.reconstruction = section.reconstruction
        self.alpha = section.adversarial.weight
        optimiser = make_optimiser(completion_network.parameters(), section.generator_optimiser)
        self.C = self.train("completion", completion_network, optimiser, compile_it)
        optimiser = make_optimiser(discriminator.parameters(), section.discriminator_optimiser)
        self.D = self.train("discriminator", discriminator, optimiser, compile_it)
        self.C.train()
        self.D.train()

    def step(self, batch: Images) -> dict[str, Tensor]:
        output = self.C(batch.filled, batch.mask)
        completed = composite(output, batch.image, batch.mask)

        losses = discriminator_step(self, self.D, batch, completed.detach())

        with frozen(self.D), self.fabric.no_backward_sync(self.D):
            adversarial = real_loss(self.D(completed, batch.window))
        reconstruction = reconstruction_loss(output, batch.image, batch.mask, self.reconstruction)
        self.optimisers["completion"].zero_grad()
        self.fabric.backward(reconstruction + self.alpha * adversarial)
        self.optimisers["completion"].step()
        return {"reconstruction": reconstruction.detach(), "adversarial": adversarial.detach(), **losses}

    def validate(self, batches: Sequence[Batch]) -> dict[str, float]:
        C, D = self.networks["completion"], self.networks["discriminator"]
        return {**validation_scores(self, C, batches), **discriminator_scores(self, C, D, batches)}
