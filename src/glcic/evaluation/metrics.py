"""How a completion is scored. Every score is of an 8-bit composite, as a user would save it.

The words are in `glcic.evaluation.definitions`, the definitions in the docstrings here. Sums of 8-bit differences are
taken in integers and are exact. What is undefined is NaN (a hole without pixels, an image smaller than a window,
0 / 0), the PSNR of identical images is infinite; tables write both as empty cells. All functions are pure, without
state of their own or of a library (no OpenCV, no BLAS): safe in any number of threads or processes, the same in each.
"""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from glcic.masks.geometry import Pixels

Mask = NDArray[np.uint8]  # (1, H, W), 1 in the hole

# skimage's weights of red, green and blue × 10,000, in which gray values are integers
GRAY = np.array([2125, 7154, 721])
GRAY_WHITE = 255 * 10_000
GRAY_WINDOW = 51


def score(completed: Pixels, truth: Pixels, mask: Mask, extra: Collection[str] = ()) -> dict[str, float]:
    """The metrics of one composite.

    Args:
        completed: (3, H, W), sides of at least 11 pixels, the window of SSIM.
        truth: (3, H, W).
        mask: (1, H, W), 1 in the hole.
        extra: `edgeconnect` adds its gray variants; other names are not of this function's metrics.

    Returns:
        The keys of `definitions.METRICS`, then those of `definitions.EXTRA["edgeconnect"]` on request, in their order.
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
    return scores | edgeconnect(completed, truth) if "edgeconnect" in extra else scores


def l1_hole(completed: Pixels, truth: Pixels, mask: Mask) -> float:
    """Mean absolute error over the pixels of the hole and the channels, images in [0, 1], × 100 (MMagic's l1)."""
    return _l1(_difference(completed, truth)[:, mask[0] == 1])


def l1(completed: Pixels, truth: Pixels) -> float:
    """Mean absolute error over the whole image and the channels, images in [0, 1], × 100."""
    return _l1(_difference(completed, truth))


def psnr(completed: Pixels, truth: Pixels) -> float:
    """Peak signal-to-noise ratio in dB of the whole composite: 10 log₁₀(255² / MSE), all three channels together."""
    return _psnr(_difference(completed, truth))


def psnr_hole(completed: Pixels, truth: Pixels, mask: Mask) -> float:
    """The same with the MSE over the pixels of the hole alone: of one hole, `psnr` + 10 log₁₀(its share of the image).

    So it does not reward a small hole for the pixels that were never missing.
    """
    return _psnr(_difference(completed, truth)[:, mask[0] == 1])


def ssim_map(completed: Pixels, truth: Pixels) -> NDArray[np.float64]:
    """Structural similarity around each pixel, (3, H, W), with the settings of Wang et al. (IEEE TIP 2004).

    Gaussian window 11×11 with σ = 1.5, population covariance, data range 255, K₁ = 0.01, K₂ = 0.03. Next to the image's
    edge the window sees the image mirrored there (… b a | a b …). Not the defaults of skimage (uniform window 7×7,
    sample covariance), nor of torchmetrics, which takes the largest minus the smallest value of the two images for the
    data range.
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
    """Mean of the map (3, H, W) where the window of 11×11 lies inside the image, per channel, then averaged.

    Not that of torchmetrics, which averages the whole map, the image mirrored at its edges (… c b | a b c …).
    """
    return float(similarity[:, 5:-5, 5:-5].mean())


def ssim_hole(similarity: NDArray[np.float64], mask: Mask) -> float:
    """Mean of the map (3, H, W) over the bounding box of the whole hole, per channel, then averaged."""
    if not mask.any():
        return np.nan
    rows, columns = np.nonzero(mask[0])
    return float(similarity[:, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].mean())


def edgeconnect(completed: Pixels, truth: Pixels) -> dict[str, float]:
    """EdgeConnect's gray variants, as its scripts/metrics.py defines them (Nazeri et al., ICCV Workshops 2019).

    Of gray values y = 0.2125 R + 0.7154 G + 0.0721 B in [0, 1] (skimage's `rgb2gray`):
    `psnr_gray`: 10 log₁₀(1 / mean (y − ŷ)²);
    `ssim_gray`: uniform window 51×51, sample covariance, data range 1, mean where the window lies inside the image; NaN
    for images smaller than the window;
    `mae_gray`: Σ|y − ŷ| / Σ(y + ŷ), a relative error, neither per pixel nor in per cent; NaN for two black images.
    The script rounds gray values to 32 bits, ours are exact: its scores differ from these by about 1e-6.
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
