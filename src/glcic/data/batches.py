"""Batches as a pure function of (seed, stage, step)."""

import signal
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from glcic.data import augmentation as augment
from glcic.data.faces import Faces
from glcic.errors import UserError
from glcic.masks.sampling import Drawing
from glcic.params import Augmentation, Holes


class Batch(NamedTuple):  # of which a loader pins each tensor
    """Images with the holes to be cut into them.

    Attributes:
        image: (N, 3, S, S), uint8.
        mask: (N, 1, S, S), uint8, 1 in the hole.
        window: (N, 2), top and left of the local window centred on the hole.
        real_window: (N, 2), the same at a random place, for judging the real image.
    """

    image: Tensor
    mask: Tensor
    window: Tensor
    real_window: Tensor

    def to(self, device: torch.device) -> "Batch":
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))

    def split(self, parts: int) -> list["Batch"]:
        """Equal parts, in order."""
        return [Batch(*piece) for piece in zip(*(tensor.chunk(parts) for tensor in self), strict=True)]

    def first(self, n: int) -> "Batch":
        return Batch(*(tensor[:n] for tensor in self))


class TrainingBatches(Dataset[Batch]):
    """A data set whose item k is batch k of a stage, the same however often and wherever it is asked for.

    With several processes every rank draws the whole batch's randomness and keeps its own slice, so that the
    global batch does not depend on how many there are.

    Raises:
        UserError: fewer images than the batch needs, or bad mask files.
    """

    def __init__(
        self,
        faces: Faces,
        *,
        seed: int,
        stage: str,
        batch: int,
        holes: Holes,
        augmentation: Augmentation,
        local_window: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if batch > len(faces):
            raise UserError(f"{stage}.batch: {batch} is more than the {len(faces)} training images; lower it")
        self.faces = faces
        self.seed = [seed, *stage.encode()]
        self.batch = batch
        self.holes = Drawing(holes, faces.size, local_window)
        self.augmentation = augmentation
        self.mine = slice(rank, None, world_size)

    def __getitem__(self, step: int) -> Batch:
        rng = np.random.default_rng([*self.seed, step])
        items = rng.choice(len(self.faces), self.batch, replace=False)
        changes = augment.draw(rng, self.batch, self.augmentation)
        mask, window, real_window = self.holes.draw(rng, self.batch)
        image = augment.apply(torch.from_numpy(self.faces.read(items[self.mine])), changes, self.mine)
        return Batch(image, *(torch.from_numpy(a[self.mine]) for a in (mask, window, real_window)))


def validation_batches(
    faces: Faces, *, seed: int, images: int, batch: int, holes: Holes, local_window: int
) -> list[Batch]:
    """The same images with the same holes at every validation: spread evenly over the split, never augmented."""
    items = np.unique(np.linspace(0, len(faces) - 1, min(images, len(faces))).astype(np.int64))
    rng = np.random.default_rng([seed, *b"validation"])
    drawn = Drawing(holes, faces.size, local_window).draw(rng, len(items))
    chunks = np.array_split(np.arange(len(items)), -(-len(items) // batch))
    return [
        Batch(*(torch.from_numpy(a) for a in (faces.read(items[chunk]), *(part[chunk] for part in drawn))))
        for chunk in chunks
    ]


def loader(batches: TrainingBatches, steps: range, workers: int, pin_memory: bool) -> Iterator[Batch]:
    """Batches of the given steps in order, prefetched by `workers` processes (0: none)."""
    return iter(
        DataLoader(
            batches,
            batch_size=None,
            sampler=steps,
            num_workers=workers,
            pin_memory=pin_memory,
            multiprocessing_context="spawn" if workers else None,
            worker_init_fn=_ignore_signals,
        )
    )


def _ignore_signals(worker: int) -> None:
    """Ctrl-C reaches the whole process group: the trainer stops after its step, and its workers with it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
