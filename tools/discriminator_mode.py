"""In which mode should the discriminator be when it teaches the generator? It is itself trained in train mode.

From the same pretrained networks, the joint phase is trained once for each way:

- `eval`: the discriminator normalizes by its running statistics, as it does when it is scored;
- `train`: it normalizes by the batch of completed images;
- `both`: it normalizes by a batch of real and completed images, as in its own training.

Each is judged on the validation split by scores, by sharpness (Sobel magnitude in the hole over the truth's), and by a
new discriminator without batch norm that is trained against the frozen result: the higher its loss, the harder the
completions are to tell from photos. The same α pulls differently hard in the three modes, so each is run with several;
0 is the control, more training by the reconstruction alone. The table is written to SEED.csv.

Run it from the project's root, on images that `dvc repro crop` has made:

    python tools/discriminator_mode.py SEED
"""

import sys
from pathlib import Path

import pandas as pd
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.functional import softplus

from glcic import paths
from glcic.data.batches import Batch, TrainingBatches, validation_batches
from glcic.data.packed import PackedImages
from glcic.masks.geometry import composite
from glcic.networks.discriminators import build_discriminator
from glcic.networks.generators import build_generator
from glcic.params import GlobalLocalParams, Params, Training, load
from glcic.phases.pretrain_discriminators import PretrainDiscriminatorsPhase
from glcic.phases.pretrain_generator import PretrainGeneratorPhase
from glcic.phases.train_joint import TrainJointPhase
from glcic.training.losses import g_loss, reconstruction_loss, sobel_magnitude
from glcic.training.optimizers import lr_factor, set_lr
from glcic.training.phase import (
    MaskedBatch,
    Phase,
    complete,
    frozen,
    frozen_judge,
    judge_both,
    real_window_of,
    region_of,
)

ALONE, DISCRIMINATOR, JOINT, JUDGE = 4000, 500, 1500, 800  # steps
D_ALONE = "pretrain_discriminators"
WAYS = (
    ("pretrained", 0.0),
    ("eval", 0.0),
    ("eval", 0.0004),
    ("eval", 0.001),
    ("train", 0.001),
    ("train", 0.003),
    ("both", 0.001),
    ("both", 0.003),
)


class JointPhase(TrainJointPhase):
    """The joint phase, with a choice of how the discriminator teaches the generator."""

    way = "eval"

    def _generator_losses(self, part: MaskedBatch, output: Tensor, D: nn.Module) -> tuple[Tensor, Tensor]:
        if self.way in ("pretrained", "train"):
            return super()._generator_losses(part, output, D)
        region = region_of(part, self.reconstruction)
        loss = reconstruction_loss(output, part.image, region, self.reconstruction, self.preprocessor.span)
        completed = composite(output, part.image, part.mask)
        if self.way == "eval":
            with frozen(D):
                return loss, g_loss(D(completed, part.mask, part.window), self.gan.loss)
        with frozen_judge(D, images=2 * len(completed)):
            return loss, g_loss(judge_both(D, part, completed)[1], self.gan.loss)


def train(phase: Phase, section: Training, params: Params, stage: str, window: int) -> None:
    """Train a phase from the start, without checkpoints."""
    batches = TrainingBatches(
        PackedImages(paths.IMAGES, "train"),
        seed=params.seed,
        stage=stage,
        batch_size=section.batch_size,
        masks=params.masks,
        augmentation=params.augmentation,
        local_window=window,
    )
    for step in range(section.steps):
        for optimizer in phase.optimizers.values():
            set_lr(optimizer, lr_factor(section.lr_schedule, step, section.steps))
        phase.step([phase.preprocess(batches[step])])


def sharpness(phase: Phase, G: nn.Module, batches: list[Batch]) -> float:
    """Mean Sobel magnitude in the hole over the truth's."""
    ratios = []
    for images in map(phase.preprocess, batches):
        found, truth = (sobel_magnitude(x) * images.mask for x in (complete(G, images), images.image))
        ratios.append(found.sum(dim=(1, 2, 3)) / truth.sum(dim=(1, 2, 3)))
    return torch.cat(ratios).mean().item()


def judged(phase: Phase, G: nn.Module, D: nn.Module, batches: list[Batch]) -> dict[str, float]:
    """Cross entropy and accuracy of a discriminator on real and completed images."""
    losses = []
    with torch.no_grad(), frozen(D):
        for images in map(phase.preprocess, batches):
            losses.append(softplus(-D(images.image, images.mask, real_window_of(D, images))).mean(dim=1))
            losses.append(softplus(D(complete(G, images), images.mask, images.window)).mean(dim=1))
    loss = torch.cat(losses)
    return {
        "judge_loss": 2 * loss.mean().item(),
        "judge_accuracy": (loss < softplus(torch.tensor(0.0))).float().mean().item(),
    }


def main(seed: int) -> None:
    """Train and judge every way, and write the table."""
    params = load(paths.PARAMS).model_copy(update={"seed": seed})
    networks, size = params.networks, params.crop.image_size
    judge_params = networks.discriminator.model_copy(update={"norm": "none"})
    assert isinstance(networks.discriminator, GlobalLocalParams)
    window = networks.discriminator.local_window
    torch.set_num_threads(1)
    val = PackedImages(paths.IMAGES, "val")
    validation = validation_batches(
        val, seed=0, num_images=len(val), batch_size=60, masks=params.masks, local_window=window
    )
    alone = params.pretrain_generator.model_copy(update={"steps": ALONE})
    of_d = params.pretrain_discriminators.model_copy(update={"steps": DISCRIMINATOR})
    of_judge = params.pretrain_discriminators.model_copy(update={"steps": JUDGE})
    fabric = Fabric(accelerator="cpu", devices=1, precision=alone.precision)
    others = params.input, val.mean_pixel

    start = Path(f"pretrained-{seed}.pt")
    torch.manual_seed(seed)
    G, D = build_generator(networks.generator, params.input), build_discriminator(networks.discriminator, size)
    if not start.exists():
        train(PretrainGeneratorPhase(fabric, G, alone, *others), alone, params, "pretrain_generator", window)
        train(PretrainDiscriminatorsPhase(fabric, G, D, of_d, params.gan, *others), of_d, params, D_ALONE, window)
        torch.save({"G": G.state_dict(), "D": D.state_dict()}, start)
    pretrained = torch.load(start)

    rows = []
    for way, adv_weight in WAYS:
        G, D = build_generator(networks.generator, params.input), build_discriminator(networks.discriminator, size)
        G.load_state_dict(pretrained["G"])
        D.load_state_dict(pretrained["D"])
        joint = params.train_joint.model_copy(update={"steps": JOINT, "adv_weight": adv_weight})
        phase = JointPhase(fabric, G, D, joint, params.gan, *others)
        phase.way = way
        if way != "pretrained":
            train(phase, joint, params, "train_joint", window)
        scores = phase.validate(validation)
        final = phase.networks["generator"].eval()
        torch.manual_seed(seed)
        judge = build_discriminator(judge_params, size)
        judging = PretrainDiscriminatorsPhase(fabric, final, judge, of_judge, params.gan, *others)
        train(judging, of_judge, params, "judge", window)
        row = {
            "seed": seed,
            "mode": way,
            "adv_weight": adv_weight,
            **scores,
            "sharpness": sharpness(phase, final, validation),
        }
        rows.append(row | judged(phase, final, judging.networks["discriminator"], validation))
        print(
            "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in rows[-1].items()), flush=True
        )
        pd.DataFrame(rows).to_csv(f"{seed}.csv", index=False, float_format="%.5g")


main(int(sys.argv[1]))
