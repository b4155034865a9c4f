"""How a completion is scored. Every score is of an 8-bit composite, as a user would save it."""

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

Image = NDArray[np.uint8]  # (3, H, W)
Mask = NDArray[np.uint8]  # (1, H, W), 1 in the hole
METRICS = ("l1_hole", "l1", "psnr", "ssim")


def l1_hole(completed: Image, truth: Image, mask: Mask) -> float:
    """Mean absolute error over the pixels of the hole and the channels, images in [0, 1], × 100 (MMagic's l1)."""
    difference = np.abs(completed.astype(np.float64) - truth) * mask
    return 100 * difference.sum() / 255 / (3 * mask.sum(dtype=np.int64))


def l1(completed: Image, truth: Image) -> float:
    """Mean absolute error over the whole image and the channels, images in [0, 1], × 100."""
    return 100 * np.abs(completed.astype(np.float64) - truth).mean() / 255


def psnr(completed: Image, truth: Image) -> float:
    """Peak signal-to-noise ratio in dB of the whole composite, three channels, data range 255.

    Infinite for identical images.
    """
    if np.array_equal(completed, truth):
        return np.inf  # skimage says the same, but with a warning
    return float(peak_signal_noise_ratio(truth, completed, data_range=255))


def ssim(completed: Image, truth: Image) -> float:
    """Structural similarity of the whole composite with the settings of Wang et al. (IEEE TIP 2004).

    Gaussian window 11×11 with σ = 1.5, population covariance, data range 255, per colour channel, then averaged.
    """
    return float(
        structural_similarity(
            truth,
            completed,
            channel_axis=0,
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def score(completed: Image, truth: Image, mask: Mask) -> dict[str, float]:
    """All metrics of one composite."""
    return {
        "l1_hole": l1_hole(completed, truth, mask),
        "l1": l1(completed, truth),
        "psnr": psnr(completed, truth),
        "ssim": ssim(completed, truth),
    }
