"""Batches as a pure function of (seed, stage, step)."""

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from glcic.data import augmentation as augment
from glcic.data.faces import Faces
from glcic.errors import UserError
from glcic.holes import box_hole_masks, center_masks, file_masks, folder_digest, mask_files, stroke_masks
from glcic.masks import Masks, bounding_boxes, centred_corners, random_corners
from glcic.params import Augmentation, BoxHoles, CenterHole, Holes, StrokeHoles

DrawMasks = Callable[[np.random.Generator, int], Masks]


@dataclass(frozen=True)
class Batch:
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
        return Batch(*(getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)))

    def pin_memory(self) -> "Batch":
        return Batch(*(getattr(self, field.name).pin_memory() for field in fields(self)))

    def split(self, parts: int) -> list["Batch"]:
        """Equal parts, in order."""
        pieces = zip(*(getattr(self, field.name).chunk(parts) for field in fields(self)), strict=True)
        return [Batch(*piece) for piece in pieces]

    def first(self, n: int) -> "Batch":
        return Batch(*(getattr(self, field.name)[:n] for field in fields(self)))


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


class Drawing:
    """Draws masks and local windows as the section `holes` says.

    Raises:
        UserError: a mask file is bad, or the folder is not the one whose digest the parameters name.
    """

    def __init__(self, holes: Holes, size: int, local_window: int) -> None:
        self.size = size
        self.local_window = local_window
        self._masks = _mask_drawer(holes, size)

    def draw(self, rng: np.random.Generator, n: int) -> tuple[Masks, NDArray[np.int64], NDArray[np.int64]]:
        """Masks (n, 1, S, S), the local windows centred on them (n, 2), and local windows at random places (n, 2)."""
        masks = self._masks(rng, n)
        window = centred_corners(bounding_boxes(masks), self.size, self.local_window)
        return masks, window, random_corners(rng, n, self.size, self.local_window)


def _mask_drawer(holes: Holes, size: int) -> DrawMasks:
    # Partial functions, not lambdas: loader workers get them pickled.
    if isinstance(holes, BoxHoles):
        sides, number = (holes.sides[0], holes.sides[1]), (holes.number[0], holes.number[1])
        return partial(box_hole_masks, size=size, sides=sides, border=holes.border, number=number)
    if isinstance(holes, CenterHole):
        return partial(_center_masks, size=size, side=holes.side)
    if isinstance(holes, StrokeHoles):
        return partial(stroke_masks, size=size, ratio=(holes.ratio[0], holes.ratio[1]))
    folder = Path(holes.folder)
    masks = mask_files(folder, size)
    if (found := folder_digest(folder)) != holes.sha256:
        raise UserError(f"{folder}: its masks are not those of holes.sha256; if they are meant, set it to {found}")
    return partial(file_masks, masks=masks)


def _center_masks(rng: np.random.Generator, n: int, size: int, side: int) -> Masks:
    return center_masks(n, size, side)


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
