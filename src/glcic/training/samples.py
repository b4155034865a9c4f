"""Sample grids: what the completion network makes of a few validation images."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from glcic.data.batches import Batch
from glcic.files import atomic
from glcic.training.phase import Phase, complete


def sample_grid(phase: Phase, network: nn.Module, batch: Batch, n: int = 8) -> NDArray[np.uint8]:
    """Rows of input, completion, ground truth; one column for each of the first n images: (H, W, 3)."""
    from torchvision.utils import make_grid  # a second of each process, and the discriminators' phase has no samples

    images = phase.images(batch.first(n))
    rows = phase.prepare.to_unit(torch.cat([images.filled, complete(network, images), images.image]))
    grid = make_grid(rows.cpu(), nrow=len(images.image), padding=2, pad_value=1)
    return (grid * 255).round().byte().permute(1, 2, 0).numpy()


def write_png(path: Path, image: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG", optimize=True)
