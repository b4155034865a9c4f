"""Training and validation batches; a training batch is a pure function of (seed, stage, step)."""

import signal
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from glcic.data import augmentation as augment
from glcic.data.packed import PackedImages
from glcic.errors import UserError
from glcic.masks.sampling import MaskSampler
from glcic.params import Augmentation, MaskParams


class Batch(NamedTuple):  # a tuple, so that the data loader pins its tensors
    """Images, with the masks of the holes to cut into them.

    Attributes:
        image: (N, 3, S, S), uint8.
        mask: (N, 1, S, S), uint8, 1 in the hole.
        window: (N, 2), int64, top and left of the local window centered on the hole, in pixels.
        real_window: (N, 2), int64, the same at a random place, for judging the real image.
    """

    image: Tensor
    mask: Tensor
    window: Tensor
    real_window: Tensor

    def to(self, device: torch.device) -> "Batch":
        """Copy the batch to a device, asynchronously where possible."""
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))

    def split(self, parts: int) -> list["Batch"]:
        """Split the batch in order, into parts whose sizes differ by one image at most."""
        return [Batch(*piece) for piece in zip(*(tensor.tensor_split(parts) for tensor in self), strict=True)]

    def first(self, n: int) -> "Batch":
        """Return the first n images."""
        return Batch(*(tensor[:n] for tensor in self))


class TrainingBatches(Dataset[Batch]):
    """A data set whose item k is batch k of a stage, always and everywhere the same.

    With several processes, each one draws the random numbers of the whole batch and keeps its own slice, so that the
    global batch does not depend on the number of processes.
    """

    def __init__(
        self,
        images: PackedImages,
        *,
        seed: int,
        stage: str,
        batch_size: int,
        masks: MaskParams,
        augmentation: Augmentation,
        local_window: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """Prepare the batches of a stage.

        Args:
            images: the training split.
            seed: seed of the training run.
            stage: name of the stage, which gives each stage its own batches.
            batch_size: images in a global batch, over all processes.
            masks: the parameters of the masks.
            augmentation: the parameters of the augmentation.
            local_window: side of the local windows in pixels.
            rank: number of this process, from 0.
            world_size: number of processes.

        Raises:
            UserError: there are fewer images than a batch needs, or a mask file is bad.
        """
        if batch_size > len(images):
            raise UserError(
                f"{stage}.batch_size: {batch_size} is more than the {len(images)} training images; lower it"
            )
        self.images = images
        self.seed = [seed, *stage.encode()]
        self.batch_size = batch_size
        self.masks = MaskSampler(masks, images.image_size, local_window)
        self.augmentation = augmentation
        self.mine = slice(rank, None, world_size)

    def __getitem__(self, step: int) -> Batch:
        rng = np.random.default_rng([*self.seed, step])
        items = rng.choice(len(self.images), self.batch_size, replace=False)
        changes = augment.draw(rng, self.batch_size, self.augmentation)
        mask, window, real_window = self.masks.sample(rng, self.batch_size)
        image = augment.apply(torch.from_numpy(self.images.read(items[self.mine])), changes, self.mine)
        return Batch(image, *(torch.from_numpy(a[self.mine]) for a in (mask, window, real_window)))


def validation_batches(
    images: PackedImages, *, seed: int, num_images: int, batch_size: int, masks: MaskParams, local_window: int
) -> list[Batch]:
    """Batches for validation: fixed images and masks, evenly spaced over the split and never augmented.

    Args:
        images: the validation split.
        seed: seed of the masks.
        num_images: number of images; at most the whole split is taken.
        batch_size: the most images in a batch.
        masks: the parameters of the masks.
        local_window: side of the local windows in pixels.
    """
    items = np.unique(np.linspace(0, len(images) - 1, min(num_images, len(images))).astype(np.int64))
    rng = np.random.default_rng([seed, *b"validation"])
    drawn = MaskSampler(masks, images.image_size, local_window).sample(rng, len(items))
    chunks = np.array_split(np.arange(len(items)), -(-len(items) // batch_size))
    return [
        Batch(*(torch.from_numpy(a) for a in (images.read(items[chunk]), *(part[chunk] for part in drawn))))
        for chunk in chunks
    ]


def loader(batches: TrainingBatches, steps: range, num_workers: int, pin_memory: bool) -> Iterator[Batch]:
    """Iterate over the batches of the given steps in order, prefetched by `num_workers` processes (0: none)."""
    return iter(
        DataLoader(
            batches,
            batch_size=None,
            sampler=steps,
            num_workers=num_workers,
            pin_memory=pin_memory,
            multiprocessing_context="spawn" if num_workers else None,
            worker_init_fn=_ignore_signals,
        )
    )


def _ignore_signals(worker: int) -> None:
    """Ignore Ctrl-C, which reaches the whole process group; workers end with the trainer, after its step."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
