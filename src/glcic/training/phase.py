"""What the loop needs of a phase, and the pieces the three phases share."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricModule
from torch import Tensor, nn
from torch.optim import Optimizer

from glcic.data.batches import Batch
from glcic.masks import box_masks, composite, fill_hole


@dataclass(frozen=True)
class Images:
    """A batch as the mathematics sees it.

    Attributes:
        image: x, (N, 3, S, S), in [0, 1].
        mask: M, (N, 1, S, S), 1 in the hole.
        filled: the image with its hole overwritten by the mean pixel.
        window, real_window: (N, 2), corners of the local windows.
    """

    image: Tensor
    mask: Tensor
    filled: Tensor
    window: Tensor
    real_window: Tensor


class Phase(ABC):
    """One training phase: its networks, their optimisers, and the update rule.

    Attributes:
        fabric: device, precision and processes.
        networks: what the phase trains, by the name of its weights file.
        optimisers: one for each of `networks`.
    """

    def __init__(self, fabric: Fabric, mean_pixel: Sequence[float]) -> None:
        self.fabric = fabric
        self.mean_pixel = torch.tensor(mean_pixel, dtype=torch.float32, device=fabric.device)
        self.networks: dict[str, nn.Module] = {}
        self.optimisers: dict[str, Optimizer] = {}

    def train(self, name: str, network: nn.Module, optimiser: Optimizer, compile_it: bool) -> _FabricModule:
        """Register a network to be trained; returns it as the update rule must call it."""
        if self.fabric.world_size > 1 and self.fabric.device.type == "cuda":
            # The statistics of the whole batch, so that the number of devices changes rounding alone. There is no
            # such batch norm for CPUs: several CPU processes are for testing, and each has its own statistics.
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        network = network.to(memory_format=torch.channels_last)
        self.networks[name] = network
        called: Any = torch.compile(network) if compile_it else network
        wrapped, self.optimisers[name] = self.fabric.setup(called, optimiser)
        return wrapped

    def images(self, batch: Batch) -> Images:
        """Bring a batch to the device and cut the holes."""
        batch = batch.to(self.fabric.device)
        image = batch.image.to(memory_format=torch.channels_last).float() / 255
        mask = box_masks(batch.hole, image.shape[-1])
        filled = fill_hole(image, mask, self.mean_pixel)
        return Images(image, mask, filled, batch.window, batch.real_window)

    @abstractmethod
    def step(self, batch: Images) -> dict[str, Tensor]:
        """Update the networks once; returns scalar losses."""

    @abstractmethod
    def validate(self, batches: Sequence[Batch]) -> dict[str, float]:
        """Scores on the validation images, under names that start with `val_`."""


def total(fabric: Fabric, value: Tensor) -> Tensor:
    """Sum of a tensor over all processes."""
    return cast(Tensor, fabric.all_reduce(value, reduce_op="sum")) if fabric.world_size > 1 else value


def complete(network: nn.Module, batch: Images) -> Tensor:
    """Composites of a completion network in eval mode, without gradients, in 32 bits: (N, 3, S, S)."""
    training = network.training
    network.eval()
    with torch.no_grad():
        output = network(batch.filled, batch.mask)
    network.train(training)
    return composite(output, batch.image, batch.mask)


def validation_scores(phase: Phase, network: nn.Module, batches: Sequence[Batch]) -> dict[str, float]:
    """L1 over the hole × 100 and PSNR of the composite in dB, means over the images."""
    l1, psnr = [], []
    for batch in batches:
        images = phase.images(batch)
        difference = complete(network, images) - images.image
        l1.append(difference.abs().sum(dim=(1, 2, 3)) / (3 * images.mask.sum(dim=(1, 2, 3))))
        psnr.append(-10 * difference.square().mean(dim=(1, 2, 3)).clamp_min(1e-10).log10())
    return {"val_l1_hole": 100 * torch.cat(l1).mean().item(), "val_psnr": torch.cat(psnr).mean().item()}


def discriminator_scores(
    phase: Phase, network: nn.Module, discriminator: nn.Module, batches: Sequence[Batch]
) -> dict[str, float]:
    """Shares of real and of completed validation images that the discriminator recognises."""
    real, completed = [], []
    training = discriminator.training
    discriminator.eval()
    with torch.no_grad():
        for batch in batches:
            images = phase.images(batch)
            real.append(discriminator(images.image, images.real_window) > 0)
            completed.append(discriminator(complete(network, images), images.window) < 0)
    discriminator.train(training)
    return {
        "val_accuracy_real": torch.cat(real).float().mean().item(),
        "val_accuracy_completed": torch.cat(completed).float().mean().item(),
    }


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Gradients flow through the network but none reaches it; in eval mode, its statistics stay as they are."""
    trainable = [p for p in network.parameters() if p.requires_grad]
    training = network.training
    network.eval()
    for p in trainable:
        p.requires_grad_(False)
    try:
        yield
    finally:
        network.train(training)
        for p in trainable:
            p.requires_grad_(True)
