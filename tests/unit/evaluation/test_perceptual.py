"""LPIPS, FID and KID with weights of random values: offline, and as torchmetrics has them when called directly."""

import sys
import urllib.request
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torchmetrics import Metric
from torchmetrics.image import (
    FrechetInceptionDistance,
    KernelInceptionDistance,
    LearnedPerceptualImagePatchSimilarity,
)
from torchvision.models import alexnet

from glcic.data.packed import PackedImages
from glcic.errors import UserError
from glcic.evaluation.definitions import LOOKS, METRICS
from glcic.evaluation.mask_sets import draw
from glcic.evaluation.perceptual import Lpips, SetDistances
from glcic.evaluation.scorer import Methods, Scorer
from glcic.evaluation.tables import means_of
from glcic.inference.classical import inpaint
from glcic.masks.geometry import Pixels
from support.project import Project

Images = NDArray[np.uint8]
ALEXNET = "alexnet-owt-7be5be79.pth"
INCEPTION = "weights-inception-2015-12-05-6726825d.pth"


def noise(n: int, size: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (n, 3, size, size), dtype=np.uint8)


def distances(truth: Pixels, completed: Pixels, kinds: list[str], seed: int = 0) -> dict[str, float]:
    to = SetDistances(truth, kinds, seed)
    return to.between(to.features(completed))


@pytest.fixture(scope="module")
def torch_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TORCH_HOME with both files, of random values."""
    home = tmp_path_factory.mktemp("torch")
    checkpoints = home / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    with torch.random.fork_rng(devices=[]), pytest.MonkeyPatch.context() as patch:
        torch.manual_seed(0)
        network = alexnet(weights=None)
        torch.save(network.state_dict(), checkpoints / ALEXNET)
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        torch.save({}, checkpoints / "empty")
        inception = FeatureExtractorInceptionV3("random", ["2048"], str(checkpoints / "empty"))
        for module in inception.modules():
            if isinstance(module, torch.nn.Conv2d):  # its own random values shrink every image to the same features
                torch.nn.init.kaiming_normal_(module.weight)
        torch.save(inception.state_dict(), checkpoints / INCEPTION)
    return home


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError(f"the network was touched: {arguments}")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr("torch.hub.urlopen", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)


@pytest.fixture
def weights(torch_home: Path, offline: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the weights, in use."""
    monkeypatch.setenv("TORCH_HOME", str(torch_home))
    return torch_home / "hub" / "checkpoints"


@pytest.fixture
def empty(tmp_path: Path, offline: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A TORCH_HOME without weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """In Inception's place, a sample of the pixels."""

    class Pixels(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            pixels = images.flatten(1).float() / 255
            return pixels[:, torch.arange(2048) % pixels.shape[1]]

    monkeypatch.setattr("glcic.evaluation.perceptual._inception", lambda metric: Pixels())


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("size", [31, 64])
def test_lpips_is_torchmetrics(size: int) -> None:
    completed, truth = noise(35, size), noise(35, size, seed=1)
    ours = Lpips()(completed, truth)
    assert ours.shape == (35,)
    assert ours.dtype == np.float64
    for i in (0, 1, 34):
        pair = (torch.tensor(images[i : i + 1]) / 255 for images in (completed, truth))
        direct = LearnedPerceptualImagePatchSimilarity("alex", normalize=True)(*pair)
        assert ours[i] == pytest.approx(float(direct), abs=1e-6)
    assert len(np.unique(ours)) == 35


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("size", [16, 30, 64])
def test_lpips_of_identical_images_is_zero_and_of_others_is_not(size: int) -> None:
    images = noise(3, size)
    lpips = Lpips()
    assert lpips(images, images).tolist() == [0, 0, 0]
    other = images.copy()
    other[1] = 255 - other[1]
    distances = lpips(other, images)
    assert (distances > 0).tolist() == [False, True, False]
    assert np.array_equal(distances, Lpips()(other, images))
    assert len(lpips(images[:0], images[:0])) == 0


@pytest.mark.usefixtures("weights")
def test_lpips_enlarges_what_alexnet_cannot_take() -> None:
    completed, truth = noise(2, 16), noise(2, 16, seed=1)
    with pytest.raises(RuntimeError, match="too small"):
        LearnedPerceptualImagePatchSimilarity("alex")(torch.rand(1, 3, 30, 30), torch.rand(1, 3, 30, 30))
    pair = (
        torch.nn.functional.interpolate(torch.tensor(images) / 127.5 - 1, (64, 64), mode="bilinear")
        for images in (completed, truth)
    )
    direct = LearnedPerceptualImagePatchSimilarity("alex")(*pair)  # the mean
    assert Lpips()(completed, truth).mean() == pytest.approx(float(direct), abs=1e-6)


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("kind", [pytest.param("fid", marks=pytest.mark.long), "kid"])  # FID: a root of 2048×2048
def test_fid_and_kid_are_torchmetrics(kind: str) -> None:
    completed, truth = noise(3, 32), noise(3, 32, seed=1) // 2
    ours = distances(truth, completed, [kind, "lpips"])
    assert list(ours) == [kind]
    metric: Metric
    if kind == "fid":
        metric, unit = FrechetInceptionDistance(), 1
    else:
        with pytest.warns(UserWarning, match="will save all"):
            metric, unit = KernelInceptionDistance(subset_size=3, subsets=1), 1000
    metric.update(torch.tensor(truth), real=True)
    metric.update(torch.tensor(completed), real=False)
    theirs = metric.compute()  # KID's with its standard deviation
    expected = unit * float(theirs[0] if isinstance(theirs, tuple) else theirs)
    assert ours[kind] == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert ours[kind] > 1


@pytest.mark.usefixtures("quick")
def test_set_distances_are_deterministic_and_leave_random_numbers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glcic.evaluation.perceptual.KID_SUBSET", 3)  # of 5: which ones is drawn
    completed, truth = noise(5, 32), noise(5, 32, seed=1)
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first = distances(truth, completed, ["kid"])
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(2)
    assert distances(truth, completed, ["kid"]) == first
    assert distances(truth, completed, ["kid"], seed=3) != first


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("n", [0, 1])
def test_distances_of_less_than_two_images_are_undefined(n: int) -> None:
    scores = distances(noise(n, 32), noise(n, 32), ["fid", "kid"])
    assert list(scores) == ["fid", "kid"]
    assert np.isnan(list(scores.values())).all()


@pytest.mark.usefixtures("weights", "quick")
def test_a_scorer_takes_them_on_request(cropped: Project) -> None:
    """Features of parts, one after the other, are those of the set."""
    packed = PackedImages(cropped.folder / "data" / "images", "test")
    mask_set = draw("center", 0, len(packed), packed.image_size)
    methods = Methods(
        {"completion": lambda images, masks: images}, of_blocks={"telea": partial(inpaint, method="telea")}
    )
    with Scorer(methods, batch_size=3, processes=1, extra_metrics=["lpips", "kid"]) as scorer:
        found = scorer.score(packed, mask_set)
    scores = means_of([found])["center"]
    assert list(scores["telea"]) == [*METRICS, "lpips", *LOOKS, "kid"]
    truth = packed.read(np.arange(len(packed)))
    completed = inpaint(truth, mask_set.masks, "telea")
    assert scores["telea"]["kid"] == pytest.approx(distances(truth, completed, ["kid"])["kid"], abs=1e-6)
    assert scores["telea"]["kid"] != scores["completion"]["kid"]
    assert scores["telea"]["lpips"] == pytest.approx(Lpips()(completed, truth).mean(), abs=1e-6)
    assert scores["completion"]["lpips"] == pytest.approx(0, abs=1e-6)
    with Scorer(methods, batch_size=3, processes=1, extra_metrics=["lpips", "kid"], images=2) as scorer:
        fewer = means_of([scorer.score(packed, mask_set)])["center"]
    assert fewer["completion"] == scores["completion"]
    own = distances(truth[[0, 2]], completed[[0, 2]], ["kid"])["kid"]  # to the ground truth of the same images
    assert fewer["telea"]["kid"] == pytest.approx(own, abs=1e-6)
    assert fewer["telea"]["lpips"] == pytest.approx(Lpips()(completed[[0, 2]], truth[[0, 2]]).mean(), abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "file", "address"),
    [
        ("lpips", ALEXNET, f"https://download.pytorch.org/models/{ALEXNET}"),
        ("fid", INCEPTION, f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION}"),
        ("kid", INCEPTION, f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION}"),
    ],
)
class TestWhatIsMissing:
    def build(self, kind: str) -> object:
        return Lpips() if kind == "lpips" else SetDistances(noise(2, 32), [kind], seed=0)

    def test_missing_weights_are_named_before_any_download(
        self, empty: Path, kind: str, file: str, address: str
    ) -> None:
        with pytest.raises(UserError) as raised:
            self.build(kind)
        message = str(raised.value)
        assert str(empty / file) in message
        assert address in message
        assert f"remove {kind} from evaluate.extra_metrics" in message

    def test_unreadable_weights_are_named(self, empty: Path, kind: str, file: str, address: str) -> None:
        empty.mkdir(parents=True)
        for content in (b"", b"not found", b"PK\x03\x04 half a download"):
            (empty / file).write_bytes(content)
            with pytest.raises(UserError, match="not the weights") as raised:
                self.build(kind)
            assert str(empty / file) in str(raised.value)
            assert address in str(raised.value)
        torch.save({"some": torch.zeros(2)}, empty / file)
        with pytest.raises(UserError, match="not the weights"):
            self.build(kind)

    @pytest.mark.usefixtures("weights")
    def test_a_missing_package_is_named(
        self, monkeypatch: pytest.MonkeyPatch, kind: str, file: str, address: str
    ) -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchmetrics"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "torchmetrics", None)
        with pytest.raises(UserError, match=r"torchmetrics is not installed.*pip install torchmetrics torch-fidelity"):
            self.build(kind)
