"""Metrics of completions. All scores are computed from 8-bit composites, as a user would save them.

Titles are in `glcic.evaluation.definitions`. Sums of 8-bit differences are exact, because they are computed in
integers. Undefined scores are NaN (empty hole, image smaller than the window, 0 / 0), and the PSNR of identical images
is infinite; tables leave both empty. All functions are pure and use neither OpenCV nor BLAS, so their results do not
depend on the number of threads or processes.
"""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from glcic.masks.geometry import Pixels

Mask = NDArray[np.uint8]  # (1, H, W), 1 in the hole, 0 elsewhere

# skimage's weights of red, green and blue × 10,000, so that gray values are integers
GRAY = np.array([2125, 7154, 721])
GRAY_WHITE = 255 * 10_000
GRAY_WINDOW = 51


def score(completed: Pixels, truth: Pixels, mask: Mask, extra_metrics: Collection[str] = ()) -> dict[str, float]:
    """Compute all metrics of one composite.

    Args:
        completed: composite (3, H, W) as uint8; H and W at least 11, the window of SSIM.
        truth: ground truth (3, H, W) as uint8.
        mask: mask (1, H, W) as uint8, 1 in the hole.
        extra_metrics: `edgeconnect` adds EdgeConnect's gray variants; other names are ignored.

    Returns:
        Scores by name: `definitions.METRICS`, then, if requested, `definitions.EXTRA["edgeconnect"]`, in that order.
    """
    similarity = ssim_map(completed, truth)
    scores = {
        "l1_hole": l1_hole(completed, truth, mask),
        "l1": l1(completed, truth),
        "psnr": psnr(completed, truth),
        "psnr_hole": psnr_hole(completed, truth, mask),
        "ssim": ssim(similarity),
        "ssim_hole": ssim_hole(similarity, mask),
    }
    return scores | edgeconnect(completed, truth) if "edgeconnect" in extra_metrics else scores


def l1_hole(completed: Pixels, truth: Pixels, mask: Mask) -> float:
    """Mean absolute error over the hole's pixels and all channels, images in [0, 1], × 100 (MMagic's l1).

    Images (3, H, W) and mask (1, H, W) are uint8, as in `score`.
    """
    return _l1(_difference(completed, truth)[:, mask[0] == 1])


def l1(completed: Pixels, truth: Pixels) -> float:
    """Mean absolute error over all pixels and channels, images in [0, 1], × 100. Images are (3, H, W), uint8."""
    return _l1(_difference(completed, truth))


def psnr(completed: Pixels, truth: Pixels) -> float:
    """Peak signal-to-noise ratio in dB: 10 log₁₀(255² / MSE), with the MSE over all pixels and channels.

    Images are (3, H, W), uint8.
    """
    return _psnr(_difference(completed, truth))


def psnr_hole(completed: Pixels, truth: Pixels, mask: Mask) -> float:
    """Peak signal-to-noise ratio in dB, with the MSE over the hole's pixels only.

    It equals `psnr` + 10 log₁₀(the hole's share of the image), so pixels that were never missing do not raise it.
    Images (3, H, W) and mask (1, H, W) are uint8, as in `score`.
    """
    return _psnr(_difference(completed, truth)[:, mask[0] == 1])


def ssim_map(completed: Pixels, truth: Pixels) -> NDArray[np.float64]:
    """Compute the map of structural similarity, with the settings of Wang et al. (IEEE TIP 2004).

    Gaussian window 11×11 with σ = 1.5, population covariance, data range 255, K₁ = 0.01, K₂ = 0.03. At its edges, the
    image is mirrored (… b a | a b …). These are not the defaults of skimage (uniform window 7×7, sample covariance)
    or torchmetrics (data range: difference of the largest and smallest value in both images).

    Args:
        completed: composite (3, H, W) as uint8; H and W at least 11.
        truth: ground truth (3, H, W) as uint8.

    Returns:
        Similarity around each pixel, (3, H, W), in [-1, 1].
    """
    _, similarity = structural_similarity(
        truth,
        completed,
        channel_axis=0,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    return similarity


def ssim(similarity: NDArray[np.float64]) -> float:
    """Average the map (3, H, W) where the 11×11 window lies inside the image, per channel, then over channels.

    In contrast, torchmetrics averages the whole map, with the image mirrored at its edges (… c b | a b c …).
    """
    return float(similarity[:, 5:-5, 5:-5].mean())


def ssim_hole(similarity: NDArray[np.float64], mask: Mask) -> float:
    """Average the map (3, H, W) over the bounding box of the hole in `mask` (1, H, W); NaN if the mask is empty."""
    if not mask.any():
        return np.nan
    rows, columns = np.nonzero(mask[0])
    return float(similarity[:, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].mean())


def edgeconnect(completed: Pixels, truth: Pixels) -> dict[str, float]:
    """Compute EdgeConnect's metrics of gray images, defined by its scripts/metrics.py (Nazeri et al., ICCVW 2019).

    Gray values are y = 0.2125 R + 0.7154 G + 0.0721 B in [0, 1] (skimage's `rgb2gray`). The metrics are
    `psnr_gray`: 10 log₁₀(1 / mean (y − ŷ)²);
    `ssim_gray`: uniform window 51×51, sample covariance, data range 1, averaged where the window lies inside the image;
    NaN for images smaller than the window;
    `mae_gray`: Σ|y − ŷ| / Σ(y + ŷ), a relative error, neither per pixel nor in percent; NaN for two black images.
    The script rounds gray values to 32 bits, while ours are exact, so its scores differ by about 1e-6.

    Args:
        completed: composite (3, H, W) as uint8.
        truth: ground truth (3, H, W) as uint8.
    """
    gray, other = (np.tensordot(GRAY, image.astype(np.int64), axes=1) for image in (truth, completed))
    difference, total = gray - other, (gray + other).sum()
    squares = np.square(difference / GRAY_WHITE).mean()
    similarity = np.nan
    if min(gray.shape) >= GRAY_WINDOW:
        similarity = structural_similarity(gray / GRAY_WHITE, other / GRAY_WHITE, data_range=1, win_size=GRAY_WINDOW)
    return {
        "psnr_gray": float(-10 * np.log10(squares)) if squares else np.inf,
        "ssim_gray": float(similarity),
        "mae_gray": float(np.abs(difference).sum() / total) if total else np.nan,
    }


def _difference(completed: Pixels, truth: Pixels) -> NDArray[np.int64]:
    return completed.astype(np.int64) - truth


def _l1(difference: NDArray[np.int64]) -> float:
    return float(100 * np.abs(difference).sum() / (255 * difference.size)) if difference.size else np.nan


def _psnr(difference: NDArray[np.int64]) -> float:
    squares = np.square(difference).sum()
    if not difference.size:
        return np.nan
    return float(10 * np.log10(255**2 * difference.size / squares)) if squares else np.inf
