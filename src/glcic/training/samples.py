"""Sample grids: what the completion network makes of a few validation images."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from glcic.data.batches import Batch
from glcic.files import atomic
from glcic.training.phase import Phase, complete


def sample_grid(phase: Phase, batch: Batch, n: int = 8) -> NDArray[np.uint8] | None:
    """Rows of input, completion, ground truth; one column for each of the first n images: (H, W, 3).

    None for a phase that trains no completion network.
    """
    if "completion" not in phase.networks:
        return None
    from torchvision.utils import make_grid  # a second of each process, and the discriminators' phase has no samples

    images = phase.images(batch.first(n))
    completed = complete(phase.kept("completion"), images)
    rows = phase.prepare.to_unit(torch.cat([images.filled, completed, images.image]))
    grid = make_grid(rows.cpu(), nrow=len(images.image), padding=2, pad_value=1)
    return (grid * 255).round().byte().permute(1, 2, 0).numpy()


def write_samples(path: Path, phase: Phase, batch: Batch) -> NDArray[np.uint8] | None:
    """Write a phase's sample grid as a PNG, if it has one; returns it."""
    if (grid := sample_grid(phase, batch)) is not None:
        with atomic(path) as temporary:
            Image.fromarray(grid).save(temporary, format="PNG", optimize=True)
    return grid
