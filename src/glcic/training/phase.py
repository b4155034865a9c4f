"""Base class of the training phases, and functions that they share."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
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
from glcic.masks.preprocessing import MaskedImages, Preprocessor
from glcic.params import GANLoss, Input, OptimizerParams, Reconstruction, Training
from glcic.training.optimizers import build_optimizer, step_unless


@dataclass(frozen=True)
class MaskedBatch(MaskedImages):
    """A batch of images with holes, as the update rules use it.

    Attributes:
        window, real_window: (N, 2), int64, top and left of the local windows; see `Batch`.
    """

    window: Tensor
    real_window: Tensor


class Phase(ABC):
    """A training phase: its networks, their optimizers, and the update rule.

    Attributes:
        fabric: device, precision and processes.
        max_grad_norm: largest norm of a network's gradient; None does not clip.
        preprocessor: cuts and fills holes.
        networks: the networks to train, by the names of their weights files.
        optimizers: one for each of `networks`.
        averages: moving averages of those networks that have one.
        memory: tensors that the update rule carries from step to step.
    """

    def __init__(self, fabric: Fabric, section: Training, input_params: Input, mean_pixel: Sequence[float]) -> None:
        self.fabric = fabric
        self.max_grad_norm = section.max_grad_norm
        self.preprocessor = Preprocessor(
            input_params, torch.tensor(mean_pixel, dtype=torch.float32, device=fabric.device)
        )
        self.networks: dict[str, nn.Module] = {}
        self.optimizers: dict[str, Optimizer] = {}
        self.averages: dict[str, AveragedModel] = {}
        self._ema_decays: dict[str, float] = {}
        self.memory: dict[str, Tensor] = {}
        self._wrapped: dict[str, _FabricModule] = {}

    def register(
        self,
        name: str,
        network: nn.Module,
        optimizer: OptimizerParams,
        compile_it: bool,
        ema_decay: float | None = None,
    ) -> _FabricModule:
        """Register a network to train; returns it, in train mode, wrapped for use by the update rule."""
        on_cpu = self.fabric.device.type == "cpu"
        made = build_optimizer(network.parameters(), optimizer, compile_it=compile_it and on_cpu)
        if self.fabric.world_size > 1 and self.fabric.device.type == "cuda":
            # Batch norm with the statistics of the whole batch, so that the number of devices affects only rounding.
            # It does not exist for CPUs: several CPU processes are for testing, and each has its own statistics.
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        network = network.to(memory_format=torch.channels_last)
        self.networks[name] = network
        called: Any = torch.compile(network) if compile_it and not on_cpu else network  # on a CPU, it gains nothing
        self._wrapped[name], self.optimizers[name] = self.fabric.setup(called, made)
        if ema_decay is not None:
            # Batch norm's statistics are averaged with the weights: the live ones do not fit averaged weights.
            self.averages[name] = AveragedModel(network, use_buffers=True)
            self._ema_decays[name] = ema_decay
        self._wrapped[name].train()
        return self._wrapped[name]

    def update(self, name: str, skip: Tensor | None = None) -> None:
        """Take one step of a network's optimizer, with the accumulated gradients, unless `skip` (a scalar) is true."""
        optimizer = self.optimizers[name]
        if self.max_grad_norm is not None:
            self.fabric.clip_gradients(
                self._wrapped[name], optimizer, max_norm=self.max_grad_norm, error_if_nonfinite=False
            )
        if skip is None:
            optimizer.step()
        else:
            step_unless(optimizer, skip)
        if name in self.averages:
            # With a constant decay, the average would hold on to the first weights, and to batch norm's first
            # statistics, for about 1/(1 − decay) steps.
            average, age = self.averages[name], int(self.averages[name].n_averaged)  # on the CPU: no wait
            update_average(average, self.networks[name], min(self._ema_decays[name], (1 + age) / (10 + age)))

    def scored(self, name: str) -> nn.Module:
        """Network to score and save: the moving average if there is one."""
        return cast(nn.Module, self.averages[name].module) if name in self.averages else self.networks[name]

    def preprocess(self, batch: Batch) -> MaskedBatch:
        """Bring a batch to the device and cut the holes."""
        batch = batch.to(self.fabric.device)
        image = batch.image.to(memory_format=torch.channels_last).float() / 255
        masked = self.preprocessor(image, batch.mask.float())
        return MaskedBatch(**vars(masked), window=batch.window, real_window=batch.real_window)

    def synchronized(self, name: str, last: bool) -> AbstractContextManager[None]:
        """Let processes exchange a network's gradients in the last part of a batch only."""
        return self.fabric.no_backward_sync(self._wrapped[name], enabled=not last)

    @abstractmethod
    def step(self, parts: Sequence[MaskedBatch]) -> dict[str, Tensor]:
        """Update the networks once, with a batch in one or more equal parts; returns scalar losses."""

    @abstractmethod
    def validate(self, batches: Sequence[Batch]) -> dict[str, float]:
        """Compute scores on the validation images, with names that start with `val_`."""


@torch.no_grad()
def update_average(average: AveragedModel, network: nn.Module, decay: float) -> None:
    """Move the average of weights and buffers toward the network's; the first time, it becomes equal to them.

    As `AveragedModel.update_parameters` with `use_buffers`, which copies a count to the device, and waits for it.
    """
    mine, theirs = ([*module.parameters(), *module.buffers()] for module in (average.module, network))
    for kind in {tensor.dtype for tensor in mine}:
        pairs = [(a, b.detach()) for a, b in zip(mine, theirs, strict=True) if a.dtype == kind]
        if average.n_averaged == 0:
            for a, b in pairs:
                a.copy_(b)
        else:
            get_ema_multi_avg_fn(decay)([a for a, _ in pairs], [b for _, b in pairs], None)
    average.n_averaged += 1


def region_of(batch: MaskedBatch, section: Reconstruction) -> Tensor:
    """Region (N, 1, S, S), 1 where the reconstruction counts."""
    if section.region == "whole":
        return torch.ones_like(batch.mask)
    return batch.dilated if section.region == "dilated" else batch.mask


def mean(losses: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Mean of each scalar loss over a batch's parts, outside any graph."""
    return {name: torch.stack([part[name].detach() for part in losses]).mean() for name in losses[0]}


def total(fabric: Fabric, value: Tensor) -> Tensor:
    """Sum of a tensor of any shape over all processes."""
    return cast(Tensor, fabric.all_reduce(value, reduce_op="sum")) if fabric.world_size > 1 else value


def complete(network: nn.Module, batch: MaskedBatch) -> Tensor:
    """Composites (N, 3, S, S), in the networks' range, of a generator in eval mode, without gradients."""
    training = network.training
    network.eval()
    with torch.no_grad():
        output = network(batch.filled, batch.dilated)
    network.train(training)
    return composite(output, batch.image, batch.mask)


class CompletionScores:
    """Means over the images of 100 × L1 in the hole, and of the composite's PSNR in dB."""

    def __init__(self, preprocessor: Preprocessor) -> None:
        self._to_unit = preprocessor.to_unit
        self._l1: list[Tensor] = []
        self._psnr: list[Tensor] = []

    def add(self, images: MaskedBatch, completed: Tensor) -> None:
        """Add images with their composites (N, 3, S, S), in the networks' range."""
        difference = self._to_unit(completed) - self._to_unit(images.image)
        self._l1.append(difference.abs().sum(dim=(1, 2, 3)) / (3 * images.mask.sum(dim=(1, 2, 3))))
        self._psnr.append(-10 * difference.square().mean(dim=(1, 2, 3)).clamp_min(1e-10).log10())

    def values(self) -> dict[str, float]:
        """Return the scores of the images so far."""
        return {"val_l1_hole": 100 * torch.cat(self._l1).mean().item(), "val_psnr": torch.cat(self._psnr).mean().item()}


def real_window_of(discriminator: nn.Module, batch: MaskedBatch) -> Tensor:
    """Corners (N, 2) of the windows in which real images are judged.

    If the discriminator sees the mask, the window must match it, or it would reveal that the image is real.
    """
    return batch.window if discriminator.mask_channel else batch.real_window


def judge_both(discriminator: nn.Module, batch: MaskedBatch, completed: Tensor) -> tuple[Tensor, Tensor]:
    """Judge real images and composites (N, 3, S, S) in one batch.

    In two, batch norm would normalize each by its own statistics, and the discriminator could distinguish them by
    statistics of the batch instead of by the look of an image.

    Returns:
        (N, K) and (N, K), logits of the real images and of the composites.
    """
    images, masks = torch.cat([batch.image, completed]), torch.cat([batch.mask, batch.mask])
    logits = discriminator(images, masks, torch.cat([real_window_of(discriminator, batch), batch.window]))
    on_real, on_completed = logits.chunk(2)
    return on_real, on_completed


def is_real(logits: Tensor, kind: GANLoss) -> Tensor:
    """Whether the discriminator takes images for real: (N,), bool, from logits (N, K)."""
    return logits.mean(dim=1) > (0.5 if kind == "lsgan" else 0.0)


class DiscriminatorScores:
    """Fractions of the real and of the completed images that the discriminator classifies correctly.

    They pass through it as in its own training: in one batch, by whose statistics batch norm normalizes.
    """

    def __init__(self, discriminator: nn.Module, kind: GANLoss) -> None:
        self._discriminator, self._kind = discriminator, kind
        self._real: list[Tensor] = []
        self._completed: list[Tensor] = []

    def add(self, images: MaskedBatch, completed: Tensor) -> None:
        """Add images with their composites (N, 3, S, S), in the networks' range."""
        with torch.no_grad(), frozen_judge(self._discriminator, images=2 * len(completed)):
            on_real, on_completed = judge_both(self._discriminator, images, completed)
        self._real.append(is_real(on_real, self._kind))
        self._completed.append(~is_real(on_completed, self._kind))

    def values(self) -> dict[str, float]:
        """Return the scores of the images so far."""
        real, completed = torch.cat(self._real), torch.cat(self._completed)
        return {"val_d_acc_real": real.float().mean().item(), "val_d_acc_fake": completed.float().mean().item()}


def gradient(loss: Tensor, of: Tensor, create_graph: bool = False, after: Tensor | None = None) -> Tensor:
    """Gradient of this process's loss with respect to a single tensor; no other gradient is accumulated.

    Args:
        loss: a scalar, or a tensor with its own gradient `after`.
        of: the tensor, of any shape.
        create_graph: whether the gradient itself can be differentiated.
        after: gradient with respect to `loss`, of its shape, if it is no scalar.

    Returns:
        A tensor of the shape of `of`.
    """
    # Fabric has no such call, and rejects others because its precision may scale the loss; ours never does.
    wrappers._in_fabric_backward = True
    try:
        (found,) = torch.autograd.grad(loss, of, after, retain_graph=True, create_graph=create_graph)
    finally:
        wrappers._in_fabric_backward = False
    return found


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Freeze a network: gradients flow through it but not into it; in eval mode, its statistics do not change."""
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


@contextmanager
def frozen_judge(discriminator: nn.Module, images: int) -> Iterator[None]:
    """Freeze a discriminator as it judges in training: batch norm normalizes by the batch.

    Its running statistics lag behind, and those of real images and of completions are mixed in them. They do not
    change. Only a single image, which has no batch, is normalized by them.

    Args:
        discriminator: the network.
        images: number of images in a batch.
    """
    norms = [module for module in discriminator.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    with frozen(discriminator):
        for norm in norms if images > 1 else []:
            norm.training, norm.track_running_stats = True, False
        try:
            yield
        finally:
            for norm in norms:
                norm.track_running_stats = True
