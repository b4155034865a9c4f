"""Phase 1: the completion network alone learns to reconstruct the hole."""

from collections.abc import Sequence

from lightning_fabric import Fabric
from torch import Tensor, nn

from glcic.data.batches import Batch
from glcic.losses import reconstruction_loss
from glcic.params import PretrainGenerator
from glcic.training.optimisation import make_optimiser
from glcic.training.phase import Images, Phase, validation_scores


class PretrainGeneratorPhase(Phase):
    """min_C  ‖M ⊙ (C(x, M) − x)‖ / |M|, with C in train mode."""

    def __init__(
        self,
        fabric: Fabric,
        completion_network: nn.Module,
        section: PretrainGenerator,
        mean_pixel: Sequence[float],
        compile_it: bool = False,
    ) -> None:
        super().__init__(fabric, mean_pixel)
        self.reconstruction = section.reconstruction
        optimiser = make_optimiser(completion_network.parameters(), section.optimiser)
        self.C = self.train("completion", completion_network, optimiser, compile_it)
        self.C.train()

    def step(self, batch: Images) -> dict[str, Tensor]:
        loss = reconstruction_loss(self.C(batch.filled, batch.mask), batch.image, batch.mask, self.reconstruction)
        self.optimisers["completion"].zero_grad()
        self.fabric.backward(loss)
        self.optimisers["completion"].step()
        return {"reconstruction": loss.detach()}

    def validate(self, batches: Sequence[Batch]) -> dict[str, float]:
        return validation_scores(self, self.networks["completion"], batches)
