"""Phase 1: the generator alone learns to reconstruct the hole."""

from collections.abc import Sequence

from lightning_fabric import Fabric
from torch import Tensor, nn

from glcic.data.batches import Batch
from glcic.params import Input, PretrainGenerator
from glcic.training.losses import reconstruction_loss
from glcic.training.phase import CompletionScores, MaskedBatch, Phase, complete, mean, region_of


class PretrainGeneratorPhase(Phase):
    """Minimizes ‖M ⊙ (G(x, M) − x)‖ / |M| over G, in train mode; parameters select other regions and losses."""

    def __init__(
        self,
        fabric: Fabric,
        generator: nn.Module,
        section: PretrainGenerator,
        input_params: Input,
        mean_pixel: Sequence[float],
        compile_it: bool = False,
    ) -> None:
        super().__init__(fabric, section, input_params, mean_pixel)
        self.reconstruction = section.reconstruction
        self.G = self.register("generator", generator, section.optimizer, compile_it, section.ema_decay)

    def step(self, parts: Sequence[MaskedBatch]) -> dict[str, Tensor]:
        """Update the generator once, with a batch in equal parts; returns scalar losses."""
        self.optimizers["generator"].zero_grad()
        losses = []
        for part in parts:
            region = region_of(part, self.reconstruction)
            with self.synchronized("generator", last=part is parts[-1]):
                output = self.G(part.filled, part.dilated)
                loss = reconstruction_loss(output, part.image, region, self.reconstruction, self.preprocessor.span)
                self.fabric.backward(loss / len(parts))
            losses.append({"g_loss_rec": loss})
        self.update("generator")
        return mean(losses)

    def validate(self, batches: Sequence[Batch]) -> dict[str, float]:
        """Score the generator on the validation images."""
        scores = CompletionScores(self.preprocessor)
        for images in map(self.preprocess, batches):
            scores.add(images, complete(self.scored("generator"), images))
        return scores.values()
