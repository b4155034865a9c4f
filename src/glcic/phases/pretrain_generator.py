"""Phase 1: the completion network alone learns to reconstruct the hole."""

from collections.abc import Sequence

from lightning_fabric import Fabric
from torch import Tensor, nn

from glcic.data.batches import Batch
from glcic.params import Input, PretrainGenerator
from glcic.training.losses import reconstruction_loss
from glcic.training.phase import Phase, PreparedBatch, mean, region_of, validation_scores


class PretrainGeneratorPhase(Phase):
    """min_C  ‖M ⊙ (C(x, M) − x)‖ / |M|, with C in train mode; other regions and errors as the parameters say."""

    def __init__(
        self,
        fabric: Fabric,
        completion_network: nn.Module,
        section: PretrainGenerator,
        seen: Input,
        mean_pixel: Sequence[float],
        compile_it: bool = False,
    ) -> None:
        super().__init__(fabric, section, seen, mean_pixel)
        self.reconstruction = section.reconstruction
        self.C = self.register("completion", completion_network, section.optimiser, compile_it, section.ema)

    def step(self, parts: Sequence[PreparedBatch]) -> dict[str, Tensor]:
        self.optimisers["completion"].zero_grad()
        losses = []
        for part in parts:
            region = region_of(part, self.reconstruction)
            output = self.C(part.filled, part.dilated)
            loss = reconstruction_loss(output, part.image, region, self.reconstruction, self.prepare.span)
            self.fabric.backward(loss / len(parts))
            losses.append({"reconstruction": loss})
        self.update("completion")
        return mean(losses)

    def validate(self, batches: Sequence[Batch]) -> dict[str, float]:
        return validation_scores(self, self.kept("completion"), batches)
