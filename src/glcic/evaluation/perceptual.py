"""Optional perceptual metrics: LPIPS of images, FID and KID of sets of images.

The user provides the packages (`pip install torchmetrics torch-fidelity`) and weights (two files, see `weights`).
Nothing is downloaded; the constructors raise an error if something is missing. Networks run on the CPU, in 32 bits.
"""

import pickle
import warnings
from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import Identity
from torch.nn.functional import interpolate

from glcic.errors import UserError

BATCH = 32  # images per forward pass
SMALLEST = 31  # pixels: AlexNet's pooling does not work on smaller images
ENLARGED = 64  # pixels: size of the patches that LPIPS was trained on
FEATURES = 2048  # from the last pooling layer of Inception
KID_SUBSET = 1000  # images, as in Bińkowski et al.
KID_SUBSETS = 100
UNREADABLE = (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, AttributeError, TypeError)


class Lpips:
    """Learned perceptual image patch similarity, AlexNet, version 0.1 (Zhang et al., CVPR 2018), by torchmetrics.

    It is 0 for identical images, and larger for images that differ more. Images with a side below 31 pixels are too
    small for AlexNet and are enlarged bilinearly to 64×64. Scores depend on the image size: compare only equal sizes.
    """

    def __init__(self) -> None:
        """Load the network.

        Raises:
            UserError: torchmetrics is not installed, or AlexNet's weights are missing or unreadable.
        """
        try:
            from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity
            from torchvision.models import AlexNet_Weights
        except ModuleNotFoundError as error:
            raise _not_installed("lpips", error) from None
        path = weights("lpips", AlexNet_Weights.DEFAULT.url)
        try:
            with torch.random.fork_rng(devices=[]):  # random weights are drawn before the trained ones are loaded
                self._network = LearnedPerceptualImagePatchSimilarity("alex").net
        except UNREADABLE:
            raise _unreadable("lpips", path, AlexNet_Weights.DEFAULT.url) from None

    def __call__(self, completed: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Compute the distances (N,) between composites and ground truth, both (N, 3, H, W) as uint8."""
        distances = [np.empty(0)]
        for start in range(0, len(completed), BATCH):
            pair = (self._prepared(images[start : start + BATCH]) for images in (completed, truth))
            with torch.inference_mode():
                distances.append(self._network(*pair).flatten().double().numpy())
        return np.concatenate(distances)

    @staticmethod
    def _prepared(images: NDArray[np.uint8]) -> Tensor:
        """Scale images (N, 3, H, W) to [−1, 1], and enlarge small ones."""
        pixels = torch.tensor(images).float() / 127.5 - 1
        if min(pixels.shape[2:]) < SMALLEST:
            pixels = interpolate(pixels, (ENLARGED, ENLARGED), mode="bilinear", align_corners=False)
        return pixels


class SetDistances:
    """FID and KID between sets of completions and the ground truth, by torchmetrics.

    Both compare 2048 features from Inception's last pooling layer (original TensorFlow weights, images enlarged to
    299×299 with antialiasing). `fid` (Heusel et al., NeurIPS 2017) is the Fréchet distance between two Gaussians. It is
    biased upward for few images, so compare only sets of the same size. `kid` (Bińkowski et al., ICLR 2018) is the
    unbiased squared maximum mean discrepancy with the kernel (xᵀy / 2048 + 1)³, × 1000. It is averaged over 100 random
    subsets of 1000 images, or computed once from all images if there are at most 1000. Both are NaN for fewer than two
    images, and 0 up to rounding and noise for equal sets.
    """

    def __init__(self, truth: NDArray[np.uint8], kinds: Collection[str], seed: int) -> None:
        """Load the network and compute the features of the ground truth.

        Args:
            truth: ground truth (N, 3, H, W) as uint8.
            kinds: `fid`, `kid` or both.
            seed: seed of KID's random subsets.

        Raises:
            UserError: a package is not installed, or Inception's weights are missing or unreadable.
        """
        self._kinds = [kind for kind in ("fid", "kid") if kind in kinds]
        self._seed = seed
        self._network = _inception(" and ".join(self._kinds))
        self._truth = self.features(truth)

    def features(self, images: NDArray[np.uint8]) -> Tensor:
        """Compute features (N, 2048) of images (N, 3, H, W) as uint8. A set may be processed in parts."""
        features = [torch.empty(0, FEATURES)]
        for start in range(0, len(images), BATCH):
            with torch.inference_mode():
                features.append(self._network(torch.tensor(images[start : start + BATCH])))
        return torch.cat(features)

    def between(self, features: Tensor, chosen: NDArray[np.bool_] | None = None) -> dict[str, float]:
        """Compute the distances between completions and the ground truth.

        Args:
            features: features (n, 2048) of the completions.
            chosen: (N,), which images of the ground truth were completed; None: all.

        Returns:
            The distances by kind.
        """
        truth = self._truth if chosen is None else self._truth[torch.from_numpy(chosen)]
        if min(len(features), len(truth)) < 2:
            return dict.fromkeys(self._kinds, np.nan)
        distances = {"fid": self._fid, "kid": self._kid}
        return {kind: distances[kind](features, truth) for kind in self._kinds}

    def _fid(self, features: Tensor, truth: Tensor) -> float:
        from torchmetrics.image.fid import FrechetInceptionDistance

        fid = FrechetInceptionDistance(_Ready())
        fid.update(truth, real=True)
        fid.update(features, real=False)
        return float(fid.compute())

    def _kid(self, features: Tensor, truth: Tensor) -> float:
        from torchmetrics.image.kid import KernelInceptionDistance

        n = min(len(features), len(truth))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*will save all extracted features")
            kid = KernelInceptionDistance(
                _Ready(), subsets=KID_SUBSETS if n > KID_SUBSET else 1, subset_size=min(n, KID_SUBSET)
            )
        kid.update(truth, real=True)
        kid.update(features, real=False)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            return 1000 * float(kid.compute()[0])


class _Ready(Identity):
    """A stand-in for the network, for features that are already computed."""

    num_features = FEATURES


def weights(metric: str, url: str) -> Path:
    """Find a network's weights in $TORCH_HOME/hub/checkpoints, by default ~/.cache/torch/hub/checkpoints.

    Args:
        metric: name of the metric, for the error message.
        url: where the weights are published.

    Raises:
        UserError: the file does not exist.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not path.exists():
        raise UserError(
            f"{path}: no such file; {metric} needs these weights: put {url} there, "
            f"or remove {metric} from evaluate.extra_metrics"
        )
    return path


def _inception(metric: str) -> torch.nn.Module:
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3
        from torchmetrics.image.fid import NoTrainInceptionV3
    except ModuleNotFoundError as error:
        raise _not_installed(metric, error) from None
    path = weights(metric, URL_INCEPTION_V3)
    try:
        with torch.random.fork_rng(devices=[]):  # random weights are drawn before the trained ones are loaded
            return NoTrainInceptionV3("inception-v3-compat", [str(FEATURES)], str(path))
    except UNREADABLE:
        raise _unreadable(metric, path, URL_INCEPTION_V3) from None


def _not_installed(metric: str, error: ModuleNotFoundError) -> UserError:
    package = (error.name or "a package").partition(".")[0]
    return UserError(
        f"{package} is not installed, but {metric} needs it: `pip install torchmetrics torch-fidelity`, "
        f"or remove {metric} from evaluate.extra_metrics"
    )


def _unreadable(metric: str, path: Path, url: str) -> UserError:
    return UserError(f"{path}: not the weights that {metric} needs; replace it with {url}")
