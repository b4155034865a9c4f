"""The nearest training image: a completion by what was seen in training, which shows how far memory alone gets.

All sums are exact integers. Neither the device nor the number of threads, nor how the images are divided into blocks,
changes the result.
"""

from collections.abc import Callable, Sequence
from functools import reduce

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from glcic.data.packed import PackedImages
from glcic.masks.geometry import Masks, Pixels

# Terms of one matrix product of signed bytes. Products of two of them are at most 2¹⁴ in size.
INT_TERMS = 2**15  # sums of at most 2²⁹ are exact in int32, and so are those of a processor that adds 128 to one factor
FLOAT_TERMS = 2**10  # sums of integers that are at most 2²⁴ are exact in float32, whatever their order

Read = Callable[[NDArray[np.int64]], Pixels]  # numbers of images within a split, (n,) → images (n, 3, S, S)
Product = Callable[[Tensor, Tensor], Tensor]  # (m, k) and (n, k), int8 → the first times the second's transpose, int64


def nearest_training_images(
    training: PackedImages,
    read: Read,
    mask_sets: Sequence[Masks],
    *,
    device: torch.device | str = "cpu",
    num_threads: int = 1,
    training_block: int = 1024,
    block: int = 512,
    product: Product | None = None,
) -> NDArray[np.int64]:
    """Find the training image that is nearest to each image, for several mask sets in one pass over the training split.

    The nearest one has the least sum of squared differences over visible pixels and channels, and of equally near ones
    the lowest row. What is under a hole does not matter.

    Memory, besides the masks: 0.5 GB at S = 128, for any number of images. Time at S = 64, on one core: 1 s for 20
    million pairs of a training image and an image with its mask, with AMX; 10 s without VNNI. It grows with S².

    Args:
        training: the training split.
        read: reads images by their numbers from 0 to N − 1, as `PackedImages.read` does.
        mask_sets: masks (N, 1, S, S) of each mask set, 1 in the hole.
        device: where to compute.
        num_threads: number of threads, on the CPU.
        training_block: number of training images that are compared at a time.
        block: number of images that they are compared with.
        product: `int_product` or `float_product`; None takes the faster one on the device.

    Returns:
        (mask sets, N), numbers of images within the training split.
    """
    device = torch.device(device)
    product = product or (int_product if device.type == "cpu" and bytes_are_exact() else float_product)
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        return _nearest(training, read, mask_sets, device, training_block, block, product)
    finally:
        torch.set_num_threads(before)


def _nearest(
    training: PackedImages,
    read: Read,
    mask_sets: Sequence[Masks],
    device: torch.device,
    training_block: int,
    block: int,
    product: Product,
) -> NDArray[np.int64]:
    n = len(mask_sets[0])
    least = torch.full((len(mask_sets), n), torch.iinfo(torch.int64).max, device=device)
    nearest = torch.zeros_like(least)
    with tqdm(total=len(training), desc="nearest training image", unit=" images", leave=False, disable=None) as bar:
        for first in range(0, len(training), training_block):
            items = np.arange(first, min(first + training_block, len(training)))
            t = _centered(training.read(items), device)
            squares = _bytes_of_squares(t)
            for start in range(0, n, block):
                part = slice(start, min(start + block, n))
                x = _centered(read(np.arange(part.start, part.stop)), device)
                for i, masks in enumerate(mask_sets):
                    v = torch.from_numpy(1 - masks[part]).view(torch.int8).to(device)
                    distance, candidate = _distances(t, squares, x, v, product).min(dim=1)  # the first of equals
                    nearer = distance < least[i, part]  # not ≤: likewise
                    least[i, part] = torch.where(nearer, distance, least[i, part])
                    nearest[i, part] = torch.where(nearer, first + candidate, nearest[i, part])
            bar.update(len(items))
    return nearest.cpu().numpy()


def _distances(t: Tensor, squares: tuple[Tensor, Tensor], x: Tensor, v: Tensor, product: Product) -> Tensor:
    """Compute Σ v (t − x)² as Σ v t² − 2 Σ t (v x), less Σ v x² and all else that is the same for each t.

    Args:
        t: training images (m, 3, S, S), centered.
        squares: result of `_bytes_of_squares` for `t`.
        x: images (n, 3, S, S), centered.
        v: (n, 1, S, S), int8, 1 in the visible pixels and 0 elsewhere.
        product: the matrix product.

    Returns:
        (n, m), int64, exact.
    """
    low, high = (product(v.flatten(1), byte) for byte in squares)
    return low.add_(high, alpha=256).sub_(product((v * x).flatten(1), t.flatten(1)), alpha=2)


def _centered(images: Pixels, device: torch.device) -> Tensor:
    """Subtract 128 from the pixels, which leaves their differences as they are and makes signed bytes of them."""
    return torch.from_numpy(images ^ np.uint8(128)).view(torch.int8).to(device)


def _bytes_of_squares(t: Tensor) -> tuple[Tensor, Tensor]:
    """Sum the squares of centered pixels, (m, 3, S, S), over the channels, and split the sums into signed bytes.

    Returns:
        Low and high bytes, (m, S·S), in [−128, 127] and [−96, 96]: a sum is low + 256 · high + 24,704.
    """
    # Squares are at most 2¹⁴. Less half of that, three of them fit into 16 bits.
    sums = reduce(torch.add, (channel * channel - 2**13 for channel in t.short().unbind(dim=1))).flatten(1)
    return ((sums & 255) - 128).to(torch.int8), (sums >> 8).to(torch.int8)


def int_product(a: Tensor, b: Tensor) -> Tensor:
    """Multiply matrices of signed bytes in 32-bit integers, on a CPU with VNNI; others are slow, and may saturate.

    Args:
        a: (m, k), int8.
        b: (n, k), int8.

    Returns:
        a bᵀ, (m, n), int64, exact.
    """
    parts = zip(a.split(INT_TERMS, dim=1), b.split(INT_TERMS, dim=1), strict=True)
    return reduce(torch.add, (torch._int_mm(x, y.T).long() for x, y in parts))


def bytes_are_exact() -> bool:
    """Whether this CPU multiplies matrices of bytes well: it has VNNI, and the library uses it.

    Where a variable (ONEDNN_MAX_CPU_ISA) keeps the library from it, sums of two products saturate at 16 bits. One
    product of the largest bytes tells.
    """
    if not torch.cpu._is_vnni_supported():
        return False
    largest = torch.full((32, 64), 127, dtype=torch.int8)
    return bool((int_product(largest, largest) == 64 * 127**2).all())


def float_product(a: Tensor, b: Tensor) -> Tensor:
    """Multiply matrices of signed bytes in 32-bit floats, on any device; the result is that of `int_product`."""
    parts = zip(a.split(FLOAT_TERMS, dim=1), b.split(FLOAT_TERMS, dim=1), strict=True)
    return reduce(torch.add, ((x.float() @ y.float().T).long() for x, y in parts))
