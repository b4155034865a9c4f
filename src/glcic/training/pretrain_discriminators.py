"""Phase 2: the discriminators alone learn to tell real images from the frozen completion network's composites."""

from collections.abc import Sequence

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from glcic.data.batches import Batch
from glcic.losses import completed_loss, real_loss
from glcic.params import PretrainDiscriminators
from glcic.training.optimisation import make_optimiser
from glcic.training.phase import Images, Phase, complete, discriminator_scores


class PretrainDiscriminatorsPhase(Phase):
    """min_D  −log D(x) − log(1 − D(composite)), with C in eval mode and outside the graph."""

    def __init__(
        self,
        fabric: Fabric,
        completion_network: nn.Module,
        discriminator: nn.Module,
        section: PretrainDiscriminators,
        mean_pixel: Sequence[float],
        compile_it: bool = False,
    ) -> None:
        super().__init__(fabric, mean_pixel)
        self.C = completion_network.to(fabric.device).eval().requires_grad_(False)
        optimiser = make_optimiser(discriminator.parameters(), section.optimiser)
        self.D = self.train("discriminator", discriminator, optimiser, compile_it)
        self.D.train()

    def step(self, batch: Images) -> dict[str, Tensor]:
        with self.fabric.autocast():
            completed = complete(self.C, batch)
        return discriminator_step(self, self.D, batch, completed)

    def validate(self, batches: Sequence[Batch]) -> dict[str, float]:
        return discriminator_scores(self, self.C, self.networks["discriminator"], batches)


def discriminator_step(phase: Phase, D: nn.Module, batch: Images, completed: Tensor) -> dict[str, Tensor]:
    """One update of the discriminator; `completed` (N, 3, S, S) are composites outside any graph.

    Real images and composites pass in one batch. In two, each would be normalised by its own statistics, and D
    could tell them apart by what the batch has in common instead of by what an image looks like.
    """
    images = torch.cat([batch.image, completed])
    windows = torch.cat([batch.real_window, batch.window])
    on_real, on_completed = D(images, windows).chunk(2)
    real, fake = real_loss(on_real), completed_loss(on_completed)
    phase.optimisers["discriminator"].zero_grad()  # also drops what the generator's step might have left
    phase.fabric.backward(real + fake)
    phase.optimisers["discriminator"].step()
    return {"discriminator_real": real.detach(), "discriminator_completed": fake.detach()}
