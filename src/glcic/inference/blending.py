"""The paper's post-processing, which adapts the colors of a completion to its surroundings.

Fast marching (Telea, 2004; radius 1) continues the image into the hole, and Poisson image editing (Pérez et al., 2003)
clones the completion into it: the gradients are kept, and the colors shift to meet that fill at the edge of the hole.
Safe in threads and processes.

The authors' inpaint.lua calls OpenCV's seamlessClone, which differs in small images and near the edges of images: it
takes gradients only 3 pixels inside the hole, fixes the rim of the hole's bounding box (even at the image's edge) to
the fill, and zeroes the outermost pixels of the mask, which moves holes that touch the edge. Here, every pixel of the
hole is solved for, without any condition at the image's edge.
"""

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from glcic.inference.classical import inpaint
from glcic.masks.geometry import Pixels


def blend(completed: Pixels, images: Pixels, masks: Pixels) -> Pixels:
    """Blend completions into their images.

    Args:
        completed: (N, 3, H, W); outside the hole they may be anything.
        images: (N, 3, H, W); inside the hole they may be anything: the true pixels are not used.
        masks: (N, 1, H, W), 1 in the hole.

    Returns:
        (N, 3, H, W); outside the hole exactly the images. Without visible pixels, a completion is unchanged.
    """
    filled = inpaint(images, masks, "telea", radius=1)
    triples = zip(completed, filled, masks, strict=True)
    return np.stack([source if mask.all() else clone(source, fill, mask) for source, fill, mask in triples])


def clone(source: Pixels, destination: Pixels, mask: Pixels) -> Pixels:
    """Clone the gradients of the source into the hole of the destination.

    The result is the source plus the smoothest correction that leads to the destination at the edge of the hole: one
    value c per pixel of the hole, which minimizes the sum of (c − c')² over neighbors in the hole plus
    (c − (destination − source))² for every neighbor outside. A constant difference between the two thus vanishes.

    Args:
        source: (3, H, W).
        destination: (3, H, W).
        mask: (1, H, W), 1 in the hole; some pixel must be outside.

    Returns:
        (3, H, W); outside the hole exactly the destination.
    """
    hole = mask[0] == 1
    number = np.cumsum(hole).reshape(hole.shape) - 1  # number of each pixel of the hole
    inside, crossing = [], []
    for a, b, i, j in (
        (hole[:, :-1], hole[:, 1:], number[:, :-1], number[:, 1:]),
        (hole[:-1], hole[1:], number[:-1], number[1:]),
    ):
        inside.append(np.stack([i[a & b], j[a & b]]))
        crossing += [i[a & ~b], j[b & ~a]]
    first, second = np.concatenate(inside, axis=1)
    outside = np.bincount(np.concatenate(crossing), minlength=hole.sum())  # number of neighbors there, of each pixel
    neighbors = sparse.coo_array((np.ones(len(first)), (first, second)), shape=(len(outside), len(outside))).tocsc()
    neighbors += neighbors.T
    system = sparse.diags_array(neighbors.sum(axis=1) + outside) - neighbors
    seam = outside[:, None] * (destination[:, hole].T.astype(np.float64) - source[:, hole].T)
    correction = splu(system.tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve(seam)
    result = destination.copy()
    result[:, hole] = np.clip(np.rint(source[:, hole] + correction.T), 0, 255).astype(np.uint8)
    return result
