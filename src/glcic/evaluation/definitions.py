"""Names and definitions of metrics, methods and mask sets, for all tables and reports. Imports nothing heavy."""

from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Metric:
    """A metric of completions.

    Attributes:
        title: name with unit, for table headers.
        digits: number of decimals shown.
        higher: whether higher is better; without a meaning where there is an ideal.
        meaning: definition, printed in reports.
        ideal: the value that is best; None: the higher, or the lower, the better.
    """

    title: str
    digits: int
    higher: bool
    meaning: str
    ideal: float | None = None

    def badness(self, value: float) -> float:
        """How far a value is from the best one; for scores without a best value, only comparisons have a meaning."""
        return abs(value - self.ideal) if self.ideal is not None else -value if self.higher else value


# Metrics of single images; columns of scores.csv and methods.csv.
METRICS = {
    "l1_hole": Metric("L1 hole %", 2, False, "mean |completed − truth| over the hole's pixels and channels, × 100"),
    "l1": Metric("L1 %", 2, False, "mean |completed − truth| over all pixels and channels, × 100"),
    "psnr": Metric("PSNR dB", 2, True, "10 log₁₀(1 / MSE), with the MSE over the whole image and all channels"),
    "psnr_hole": Metric("PSNR hole dB", 2, True, "PSNR with the MSE over the hole's pixels only"),
    "ssim": Metric(
        "SSIM",
        3,
        True,
        "Wang et al., IEEE TIP 2004: Gaussian window 11×11, σ 1.5, population covariance, data range 255; mean of the "
        "SSIM map where the window lies inside the image, per channel, then averaged",
    ),
    "ssim_hole": Metric(
        "SSIM hole", 3, True, "mean of the same map over the hole's bounding box; the image is mirrored at its edges"
    ),
}
# Optional metrics of single images (evaluate.extra_metrics).
EXTRA = {
    "edgeconnect": {
        "psnr_gray": Metric("PSNR gray dB", 2, True, "PSNR of the gray images, as in EdgeConnect's scripts/metrics.py"),
        "ssim_gray": Metric("SSIM gray", 3, True, "SSIM of the gray images, uniform window 51×51, as in EdgeConnect"),
        "mae_gray": Metric(
            "MAE gray", 4, False, "Σ|completed − truth| / Σ(completed + truth), gray, as in EdgeConnect"
        ),
    },
    "lpips": {"lpips": Metric("LPIPS", 4, False, "learned perceptual distance (AlexNet), Zhang et al., CVPR 2018")},
}
# Metrics of whole mask sets: how completions look next to the real images; columns of looks.csv and methods.csv.
LOOKS = {
    "swd": Metric(
        "SWD × 1000",
        1,
        False,
        "sliced Wasserstein distance between 7×7 patches of the completed holes and of the same holes in the real "
        "images, mean over the levels of a Laplacian pyramid, colors over their standard deviation in the real "
        "patches, × 1000; after Karras et al., ICLR 2018. Small sets of real images differ, too: compare it with "
        "others of as many images, not with 0",
    ),
    "seam": Metric(
        "seam",
        2,
        False,
        "mean absolute difference of neighboring pixels on both sides of the hole's edge, over that in the real "
        "images: 1 is invisible, below is smoother than real",
        ideal=1.0,
    ),
    "gradient": Metric(
        "gradient",
        2,
        True,
        "mean gradient magnitude inside the hole over that in the real images: 1 is as sharp, below is blurred, above "
        "is rougher than real",
        ideal=1.0,
    ),
}
# Optional metrics of whole mask sets (evaluate.extra_metrics); columns of methods.csv only.
OF_SETS = {
    "fid": Metric(
        "FID",
        2,
        False,
        "Fréchet distance between the Inception features of completions and ground truth; biased for few images",
    ),
    "kid": Metric(
        "KID × 1000", 2, False, "kernel distance between the Inception features of completions and ground truth, × 1000"
    ),
}
# All metrics.
ALL = METRICS | {name: metric for group in EXTRA.values() for name, metric in group.items()} | LOOKS | OF_SETS
MAIN_METRICS = ("l1_hole", "l1", "psnr", "ssim")  # in Markdown tables; the page of a report has all
HEADLINE_METRICS = ("l1_hole", "psnr", "ssim")  # in reports/metrics.json, to compare configurations

# Titles of methods in tables, figures and reports.
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

# Methods that complete one image after another, for milliseconds each; evaluate.images limits them.
SLOW = ("telea", "navier_stokes", "biharmonic")

RANKS = ("best", "median", "worst")  # completions shown in a gallery

# Top and left, for images of 128 pixels: at least 16 from the edge, as in the system that these masks come from.
PLACES = ((16, 16), (16, 48), (16, 80), (48, 16), (48, 48), (48, 80), (80, 16), (80, 48), (80, 80), (64, 48))
SHARES = (1, 10, 20, 30, 40, 50, 60)  # percent of the image; bin edges of free-form masks

# Descriptions of the masks in each mask set; the keys are the valid names in evaluate.mask_sets.
MASK_SETS = {
    "center": "a square of side S/2 in the middle",
    "box": "MMagic's protocol, scaled from 256 pixels to S: a box at a random place, at least 20 pixels from the edge, "
    "with independent height and width, uniform in [108, 128]",
    "fixed": "a square of side 32 at ten positions in turn, scaled from 128 pixels to S; top and left: "
    + ", ".join(map(str, PLACES)),
    **{
        f"strokes_{low}_{high}": f"free-form brush strokes over {low} to {high} % of the image"
        for low, high in pairwise(SHARES)
    },
    "border": "a box that touches an edge of the image, each edge equally likely, with sides drawn as for `box`",
    "half": "half of the image: left, right, upper and lower in turn",
    "files": "the user's masks in the order of their names, repeated if there are fewer masks than images",
}
