"""What the loop needs of a phase, and the pieces the three phases share."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from lightning_fabric import Fabric, wrappers
from lightning_fabric.wrappers import _FabricModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from glcic.data.batches import Batch
from glcic.masks.geometry import composite
from glcic.masks.preparation import Holed, Preparation
from glcic.params import AdversarialLoss, Input, Optimiser, Reconstruction, Training
from glcic.training.optimizers import make_optimiser


@dataclass(frozen=True)
class PreparedBatch(Holed):
    """A batch as the mathematics sees it.

    Attributes:
        window, real_window: (N, 2), corners of the local windows.
    """

    window: Tensor
    real_window: Tensor


class Phase(ABC):
    """One training phase: its networks, their optimisers, and the update rule.

    Attributes:
        fabric: device, precision and processes.
        networks: what the phase trains, by the name of its weights file.
        optimisers: one for each of `networks`.
        averages: moving averages of networks, for those that have one.
        memory: tensors that the update rule carries from step to step.
    """

    def __init__(self, fabric: Fabric, section: Training, seen: Input, mean_pixel: Sequence[float]) -> None:
        self.fabric = fabric
        self.clip = section.clip
        self.prepare = Preparation(seen, torch.tensor(mean_pixel, dtype=torch.float32, device=fabric.device))
        self.networks: dict[str, nn.Module] = {}
        self.optimisers: dict[str, Optimizer] = {}
        self.averages: dict[str, AveragedModel] = {}
        self.memory: dict[str, Tensor] = {}
        self._wrapped: dict[str, _FabricModule] = {}

    def register(
        self, name: str, network: nn.Module, optimiser: Optimiser, compile_it: bool, ema: float | None = None
    ) -> _FabricModule:
        """Register a network to be trained; returns it, in train mode, as the update rule must call it."""
        made = make_optimiser(network.parameters(), optimiser)
        if self.fabric.world_size > 1 and self.fabric.device.type == "cuda":
            # The statistics of the whole batch, so that the number of devices changes rounding alone. There is no
            # such batch norm for CPUs: several CPU processes are for testing, and each has its own statistics.
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        network = network.to(memory_format=torch.channels_last)
        self.networks[name] = network
        called: Any = torch.compile(network) if compile_it else network
        self._wrapped[name], self.optimisers[name] = self.fabric.setup(called, made)
        if ema is not None:
            self.averages[name] = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(ema), use_buffers=True)
        self._wrapped[name].train()
        return self._wrapped[name]

    def update(self, name: str) -> None:
        """One step of a network's optimiser along the gradients that have been gathered."""
        optimiser = self.optimisers[name]
        if self.clip is not None:
            self.fabric.clip_gradients(self._wrapped[name], optimiser, max_norm=self.clip, error_if_nonfinite=False)
        optimiser.step()
        if name in self.averages:
            self.averages[name].update_parameters(self.networks[name])

    def kept(self, name: str) -> nn.Module:
        """The network that is scored and saved: the moving average where there is one."""
        return cast(nn.Module, self.averages[name].module) if name in self.averages else self.networks[name]

    def images(self, batch: Batch) -> PreparedBatch:
        """Bring a batch to the device and cut the holes."""
        batch = batch.to(self.fabric.device)
        image = batch.image.to(memory_format=torch.channels_last).float() / 255
        holed = self.prepare.holed(image, batch.mask.float())
        return PreparedBatch(**vars(holed), window=batch.window, real_window=batch.real_window)

    @abstractmethod
    def step(self, parts: Sequence[PreparedBatch]) -> dict[str, Tensor]:
        """Update the networks once, with a batch in one or more equal parts; returns scalar losses."""

    @abstractmethod
    def validate(self, batches: Sequence[Batch]) -> dict[str, float]:
        """Scores on the validation images, under names that start with `val_`."""


def region_of(batch: PreparedBatch, section: Reconstruction) -> Tensor:
    """(N, 1, S, S), 1 where the reconstruction counts."""
    if section.region == "whole":
        return torch.ones_like(batch.mask)
    return batch.dilated if section.region == "dilated" else batch.mask


def mean(losses: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Means of the losses of a batch's parts, outside any graph."""
    return {name: torch.stack([part[name].detach() for part in losses]).mean() for name in losses[0]}


def total(fabric: Fabric, value: Tensor) -> Tensor:
    """Sum of a tensor over all processes."""
    return cast(Tensor, fabric.all_reduce(value, reduce_op="sum")) if fabric.world_size > 1 else value


def complete(network: nn.Module, batch: PreparedBatch) -> Tensor:
    """Composites of a completion network in eval mode, without gradients: (N, 3, S, S), in the networks' range."""
    training = network.training
    network.eval()
    with torch.no_grad():
        output = network(batch.filled, batch.dilated)
    network.train(training)
    return composite(output, batch.image, batch.mask)


def validation_scores(phase: Phase, network: nn.Module, batches: Sequence[Batch]) -> dict[str, float]:
    """L1 over the hole × 100 and PSNR of the composite in dB, means over the images."""
    l1, psnr = [], []
    for batch in batches:
        images = phase.images(batch)
        difference = phase.prepare.to_unit(complete(network, images)) - phase.prepare.to_unit(images.image)
        l1.append(difference.abs().sum(dim=(1, 2, 3)) / (3 * images.mask.sum(dim=(1, 2, 3))))
        psnr.append(-10 * difference.square().mean(dim=(1, 2, 3)).clamp_min(1e-10).log10())
    return {"val_l1_hole": 100 * torch.cat(l1).mean().item(), "val_psnr": torch.cat(psnr).mean().item()}


def real_window_of(discriminator: nn.Module, batch: PreparedBatch) -> Tensor:
    """Where real images are judged: (N, 2). A window that did not belong to the mask would give them away."""
    return batch.window if discriminator.mask_channel else batch.real_window


def is_real(logits: Tensor, kind: AdversarialLoss) -> Tensor:
    """(N,) booleans: whether images with the labels (N, K) are taken for real."""
    return logits.mean(dim=1) > (0.5 if kind == "least_squares" else 0.0)


def discriminator_scores(
    phase: Phase, network: nn.Module, discriminator: nn.Module, batches: Sequence[Batch], kind: AdversarialLoss
) -> dict[str, float]:
    """Shares of real and of completed validation images that the discriminator recognises."""
    real, completed = [], []
    training = discriminator.training
    discriminator.eval()
    with torch.no_grad():
        for batch in batches:
            images = phase.images(batch)
            on_real = discriminator(images.image, images.mask, real_window_of(discriminator, images))
            on_completed = discriminator(complete(network, images), images.mask, images.window)
            real.append(is_real(on_real, kind))
            completed.append(~is_real(on_completed, kind))
    discriminator.train(training)
    return {
        "val_accuracy_real": torch.cat(real).float().mean().item(),
        "val_accuracy_completed": torch.cat(completed).float().mean().item(),
    }


def gradient(loss: Tensor, of: Tensor, create_graph: bool = False) -> Tensor:
    """The gradient of this process's loss with respect to one tensor alone; nothing is gathered.

    Args:
        create_graph: whether the gradient itself can be differentiated.
    """
    # Fabric has no such call, and refuses any other lest its precision has scaled the loss; ours never do.
    wrappers._in_fabric_backward = True
    try:
        (found,) = torch.autograd.grad(loss, of, retain_graph=True, create_graph=create_graph)
    finally:
        wrappers._in_fabric_backward = False
    return found


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
