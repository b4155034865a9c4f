"""Distances that networks learned: LPIPS of an image, FID and KID of a set; an optional extra.

Packages (`pip install torchmetrics torch-fidelity`) and weights (two files, see `weights`) are the user's to bring:
nothing is ever downloaded, and what is missing is said when a class is built. On the CPU, in 32 bits.
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

BATCH = 32  # images that a network sees at a time
SMALLEST = 31  # pixels: smaller images leave AlexNet nothing to pool
ENLARGED = 64  # pixels: the patches that LPIPS was learned on
FEATURES = 2048  # of Inception's last pooling
KID_SUBSET = 1000  # images, as Bińkowski et al. have them
KID_SUBSETS = 100
UNREADABLE = (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, AttributeError, TypeError)


class Lpips:
    """Learned perceptual image patch similarity, AlexNet, version 0.1 (Zhang et al., CVPR 2018), by torchmetrics.

    0 for identical images; larger is farther. Images with a side below 31 pixels, too small for AlexNet, are enlarged
    to 64×64 bilinearly; all others are taken as they are. A score depends on the size: compare at one size only.
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
            with torch.random.fork_rng(devices=[]):  # it draws weights before it loads them
                self._network = LearnedPerceptualImagePatchSimilarity("alex").net
        except UNREADABLE:
            raise _unreadable("lpips", path, AlexNet_Weights.DEFAULT.url) from None

    def __call__(self, completed: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[np.float64]:
        """The distances of images (N, 3, H, W): (N,)."""
        distances = [np.empty(0)]
        for start in range(0, len(completed), BATCH):
            pair = (self._prepared(images[start : start + BATCH]) for images in (completed, truth))
            with torch.inference_mode():
                distances.append(self._network(*pair).flatten().double().numpy())
        return np.concatenate(distances)

    @staticmethod
    def _prepared(images: NDArray[np.uint8]) -> Tensor:
        """In [−1, 1]."""
        pixels = torch.tensor(images).float() / 127.5 - 1
        if min(pixels.shape[2:]) < SMALLEST:
            pixels = interpolate(pixels, (ENLARGED, ENLARGED), mode="bilinear", align_corners=False)
        return pixels


class SetDistances:
    """FID and KID of sets of completions to the ground truth, by torchmetrics.

    Features of Inception (the original TensorFlow weights, 2048 of the last pooling), images enlarged to 299×299 with
    antialiasing. `fid` (Heusel et al., NeurIPS 2017): Fréchet distance of two Gaussians; biased upwards for few
    images, so compare at the same number only. `kid` (Bińkowski et al., ICLR 2018): squared maximum mean discrepancy
    with the kernel (xᵀy / 2048 + 1)³, × 1000, unbiased; mean over 100 random subsets of 1000 images, or over all images
    where there are no more. Both are NaN for fewer than two images, and 0 ± rounding or noise for equal sets.
    """

    def __init__(self, truth: NDArray[np.uint8], kinds: Collection[str], seed: int) -> None:
        """Load the network and show it the ground truth.

        Args:
            truth: (N, 3, H, W).
            kinds: `fid`, `kid` or both.
            seed: of KID's subsets.

        Raises:
            UserError: a package is not installed, or Inception's weights are missing or unreadable.
        """
        self._kinds = [kind for kind in ("fid", "kid") if kind in kinds]
        self._seed = seed
        self._network = _inception(" and ".join(self._kinds))
        self._truth = self.features(truth)

    def features(self, images: NDArray[np.uint8]) -> Tensor:
        """What the distances are taken of: (N, 2048). Those of parts of a set, one after the other, are the set's."""
        features = [torch.empty(0, FEATURES)]
        for start in range(0, len(images), BATCH):
            with torch.inference_mode():
                features.append(self._network(torch.tensor(images[start : start + BATCH])))
        return torch.cat(features)

    def between(self, features: Tensor) -> dict[str, float]:
        """The distances of the set with these features (N, 2048), by kind."""
        if min(len(features), len(self._truth)) < 2:
            return dict.fromkeys(self._kinds, np.nan)
        distances = {"fid": self._fid, "kid": self._kid}
        return {kind: distances[kind](features) for kind in self._kinds}

    def _fid(self, features: Tensor) -> float:
        from torchmetrics.image.fid import FrechetInceptionDistance

        fid = FrechetInceptionDistance(_Ready())
        fid.update(self._truth, real=True)
        fid.update(features, real=False)
        return float(fid.compute())

    def _kid(self, features: Tensor) -> float:
        from torchmetrics.image.kid import KernelInceptionDistance

        n = min(len(features), len(self._truth))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*will save all extracted features")
            kid = KernelInceptionDistance(
                _Ready(), subsets=KID_SUBSETS if n > KID_SUBSET else 1, subset_size=min(n, KID_SUBSET)
            )
        kid.update(self._truth, real=True)
        kid.update(features, real=False)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            return 1000 * float(kid.compute()[0])


class _Ready(Identity):
    """In the place of a network, for features that are there already."""

    num_features = FEATURES


def weights(metric: str, url: str) -> Path:
    """Where a network's weights lie: in $TORCH_HOME/hub/checkpoints, or else ~/.cache/torch/hub/checkpoints.

    Raises:
        UserError: they are not there.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not path.exists():
        raise UserError(
            f"{path}: no such file; {metric} needs these weights: put {url} there, "
            f"or remove {metric} from evaluate.extra"
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
        with torch.random.fork_rng(devices=[]):  # it draws weights before it loads them
            return NoTrainInceptionV3("inception-v3-compat", [str(FEATURES)], str(path))
    except UNREADABLE:
        raise _unreadable(metric, path, URL_INCEPTION_V3) from None


def _not_installed(metric: str, error: ModuleNotFoundError) -> UserError:
    package = (error.name or "a package").partition(".")[0]
    return UserError(
        f"{package} is not installed, which {metric} needs: `pip install torchmetrics torch-fidelity`, "
        f"or remove {metric} from evaluate.extra"
    )


def _unreadable(metric: str, path: Path, url: str) -> UserError:
    return UserError(f"{path}: not the weights that {metric} needs; replace it with {url}")
