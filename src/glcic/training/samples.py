"""Sample grids of the generator's completions of a few validation images."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from glcic.data.batches import Batch
from glcic.files import atomic
from glcic.training.phase import Phase, complete


def sample_grid(phase: Phase, batch: Batch, n: int = 8) -> NDArray[np.uint8] | None:
    """Make a grid with rows of inputs, completions and ground truth, and a column for each of the first n images.

    Returns:
        (H, W, 3), uint8, RGB; None for a phase that trains no generator.
    """
    if "generator" not in phase.networks:
        return None
    from torchvision.utils import make_grid  # slow to import, and not every phase has samples

    images = phase.preprocess(batch.first(n))
    completed = complete(phase.scored("generator"), images)
    rows = phase.preprocessor.to_unit(torch.cat([images.filled, completed, images.image]))
    grid = make_grid(rows.cpu(), nrow=len(images.image), padding=2, pad_value=1)
    return (grid * 255).round().byte().permute(1, 2, 0).numpy()


def write_samples(path: Path, phase: Phase, batch: Batch) -> NDArray[np.uint8] | None:
    """Write a phase's sample grid as a PNG, if it has one; returns the grid, (H, W, 3), uint8, or None."""
    if (grid := sample_grid(phase, batch)) is not None:
        with atomic(path) as temporary:
            Image.fromarray(grid).save(temporary, format="PNG", optimize=True)
    return grid
