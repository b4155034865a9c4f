"""What the scores are called and what they mean: the words of every table and report. Nothing heavy is imported."""

from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Metric:
    """A score of a completion.

    Attributes:
        title: with its unit, for the head of a table.
        digits: shown after the point.
        higher: whether higher is better.
        meaning: the definition, to be printed in reports.
    """

    title: str
    digits: int
    higher: bool
    meaning: str


# Of every image; columns of scores.csv and methods.csv.
METRICS = {
    "l1_hole": Metric("L1 hole %", 2, False, "mean |completed − truth| over the hole's pixels and channels, × 100"),
    "l1": Metric("L1 %", 2, False, "mean |completed − truth| over all pixels and channels, × 100"),
    "psnr": Metric("PSNR dB", 2, True, "10 log₁₀(1 / MSE) of the whole image, all channels together"),
    "psnr_hole": Metric("PSNR hole dB", 2, True, "the same with the MSE over the hole's pixels alone"),
    "ssim": Metric(
        "SSIM",
        3,
        True,
        "Wang et al., IEEE TIP 2004: Gaussian window 11×11, σ 1.5, population covariance, data range 255; mean of the "
        "map where the window lies inside the image, per channel, then averaged",
    ),
    "ssim_hole": Metric(
        "SSIM hole", 3, True, "mean of the same map over the hole's bounding box, the image mirrored at its edges"
    ),
}
# Of every image, on request (evaluate.extra).
EXTRA = {
    "edgeconnect": {
        "psnr_gray": Metric("PSNR gray dB", 2, True, "PSNR of the gray images, as EdgeConnect's scripts/metrics.py"),
        "ssim_gray": Metric("SSIM gray", 3, True, "SSIM of the gray images, uniform window 51×51, as EdgeConnect's"),
        "mae_gray": Metric("MAE gray", 4, False, "Σ|completed − truth| / Σ(completed + truth), gray, as EdgeConnect's"),
    },
    "lpips": {"lpips": Metric("LPIPS", 4, False, "learned perceptual distance (AlexNet), Zhang et al., CVPR 2018")},
}
# Of a whole mask set, on request (evaluate.extra); columns of methods.csv alone.
OF_SETS = {
    "fid": Metric(
        "FID", 2, False, "Fréchet distance of Inception features to the ground truth's; biased for few images"
    ),
    "kid": Metric("KID × 1000", 2, False, "kernel distance of Inception features to the ground truth's, × 1000"),
}
# Every name a column may have.
ALL = METRICS | {name: metric for group in EXTRA.values() for name, metric in group.items()} | OF_SETS
MAIN_METRICS = ("l1_hole", "l1", "psnr", "ssim")  # of tables in Markdown; a report's page has all

# What methods are called in tables, figures and reports.
METHODS = {
    "completion": "completion",
    "blended": "completion + blending",
    "pretrained": "pretrained",
    "mean_fill": "mean fill",
    "telea": "Telea",
    "navier_stokes": "Navier–Stokes",
    "biharmonic": "biharmonic",
    "nearest": "nearest training image",
}

RANKS = ("best", "median", "worst")  # whose completions a gallery shows

# Top and left of 128 pixels: at least 16 from the edge, as in the system whose holes these are.
PLACES = ((16, 16), (16, 48), (16, 80), (48, 16), (48, 48), (48, 80), (80, 16), (80, 48), (80, 80), (64, 48))
SHARES = (1, 10, 20, 30, 40, 50, 60)  # per cent of the image, edges of the buckets of free-form holes

# What is drawn for each image of a split; every name that evaluate.mask_sets may have.
MASK_SETS = {
    "center": "a square of side S/2 in the middle",
    "box": "MMagic's protocol scaled from 256 to S: a box whose height and width are independent and uniform in "
    "[108, 128] of 256, at a random place at least 20 of 256 from the edge",
    "fixed": "a square of side 32 of 128, scaled to S, in turn at ten places (top, left, of 128): "
    + ", ".join(map(str, PLACES)),
    **{
        f"strokes_{low}_{high}": f"free-form brush strokes over {low} to {high} % of the image"
        for low, high in pairwise(SHARES)
    },
    "border": "a box with the sides of `box` that touches an edge of the image, each edge equally likely",
    "half": "half of the image: in turn the left, the right, the upper and the lower one",
    "files": "the user's masks, in the order of their names, from the first again when all are used",
}
