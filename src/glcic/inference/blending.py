"""The paper's post-processing: a completion takes over the colours of its surroundings.

Fast marching (Telea, 2004; radius 1) continues the image into the hole, and Poisson image editing (Pérez et al., 2003)
puts the completion there: its gradients are kept, its colours give way to meet that fill at the edge of the hole. Safe
in threads and processes.

The authors' inpaint.lua calls OpenCV's seamlessClone, which is something else in small images and next to their edges:
it takes gradients only 3 pixels inside the hole, holds the rim of the hole's bounding box (at the image's edge, too) to
the fill, zeroes the outermost pixels of the mask, and thereby moves holes that touch the edge. Here every pixel of the
hole is solved for, and nothing is asked of it at the image's edge.
"""

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from glcic.inference.classical import inpaint
from glcic.masks.geometry import Pixels


def blend(completed: Pixels, images: Pixels, masks: Pixels) -> Pixels:
    """Blend completions into their images.

    Args:
        completed: (N, 3, H, W); outside the hole it may be anything.
        images: (N, 3, H, W); inside the hole it may be anything: the true pixels are not looked at.
        masks: (N, 1, H, W), 1 in the hole.

    Returns:
        (N, 3, H, W): outside the hole exactly the images; the completion itself where no pixel is visible.
    """
    filled = inpaint(images, masks, "telea", radius=1)
    triples = zip(completed, filled, masks, strict=True)
    return np.stack([source if mask.all() else clone(source, fill, mask) for source, fill, mask in triples])


def clone(source: Pixels, destination: Pixels, mask: Pixels) -> Pixels:
    """Put the source into the hole of the destination by its gradients.

    The result is the source plus the smoothest correction that leads to the destination at the edge of the hole: with
    one value c per pixel of the hole, the least Σ (c − c')² over neighbours in the hole, plus (c − (destination −
    source))² for every neighbour outside. So a constant difference between the two vanishes altogether.

    Args:
        source: (3, H, W).
        destination: (3, H, W).
        mask: (1, H, W), 1 in the hole; not everywhere.

    Returns:
        (3, H, W): outside the hole exactly the destination.
    """
    hole = mask[0] == 1
    number = np.cumsum(hole).reshape(hole.shape) - 1  # of each pixel of the hole
    inside, crossing = [], []
    for a, b, i, j in (
        (hole[:, :-1], hole[:, 1:], number[:, :-1], number[:, 1:]),
        (hole[:-1], hole[1:], number[:-1], number[1:]),
    ):
        inside.append(np.stack([i[a & b], j[a & b]]))
        crossing += [i[a & ~b], j[b & ~a]]
    first, second = np.concatenate(inside, axis=1)
    outside = np.bincount(np.concatenate(crossing), minlength=hole.sum())  # neighbours there, of each pixel
    neighbours = sparse.coo_array((np.ones(len(first)), (first, second)), shape=(len(outside), len(outside))).tocsc()
    neighbours += neighbours.T
    system = sparse.diags_array(neighbours.sum(axis=1) + outside) - neighbours
    seam = outside[:, None] * (destination[:, hole].T.astype(np.float64) - source[:, hole].T)
    correction = splu(system.tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve(seam)
    result = destination.copy()
    result[:, hole] = np.clip(np.rint(source[:, hole] + correction.T), 0, 255).astype(np.uint8)
    return result
