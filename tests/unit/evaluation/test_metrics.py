"""Every metric against other people's implementations of it, or its formula written out."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import correlate1d
from skimage.color import rgb2gray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics import MeanAbsoluteError
from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure

from glcic.evaluation import definitions
from glcic.evaluation.metrics import edgeconnect, l1, l1_hole, psnr, psnr_hole, score, ssim, ssim_hole, ssim_map

Image = NDArray[np.uint8]
S = 64


def noise(seed: int, size: int = S) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (3, size, size), dtype=np.uint8)


def near(image: Image) -> Image:
    """The image with errors of up to 20 of 255."""
    error = np.random.default_rng(7).integers(-20, 21, image.shape)
    return np.clip(image + error, 0, 255).astype(np.uint8)


def hole(top: int, left: int, height: int, width: int, size: int = S) -> Image:
    mask = np.zeros((1, size, size), np.uint8)
    mask[:, top : top + height, left : left + width] = 1
    return mask


BLACK = np.zeros((3, S, S), np.uint8)
PAIRS = {
    "random": (noise(0), noise(1)),
    "near": (near(noise(0)), noise(0)),
    "black and random": (BLACK, noise(1)),
    "random and black": (noise(1), BLACK),
    "both black": (BLACK, BLACK),
    "white and black": (~BLACK, BLACK),
    "identical": (noise(0), noise(0)),
}
MASKS = {
    "center": hole(16, 16, 32, 32),
    "one pixel": hole(20, 30, 1, 1),
    "corner pixel": hole(S - 1, 0, 1, 1),
    "edge": hole(0, 10, 9, 20),
    "half": hole(0, 32, S, 32),
    "everything": hole(0, 0, S, S),
    "two": hole(2, 3, 4, 5) | hole(40, 50, 6, 14),
}
pairs = pytest.mark.parametrize(("completed", "truth"), PAIRS.values(), ids=PAIRS.keys())
masks = pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS.keys())


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def skimage_psnr(truth: Image, completed: Image) -> float:
    with np.errstate(divide="ignore"):  # infinite, and said so
        return float(peak_signal_noise_ratio(truth, completed, data_range=255))


def wang_map(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Written out from the paper: 11×11 Gaussian window with σ 1.5, K₁ 0.01, K₂ 0.03; mirrored (b a | a b) at edges."""
    window = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(image: NDArray[np.float64]) -> NDArray[np.float64]:
        filtered: NDArray[np.float64] = correlate1d(correlate1d(image, window, axis=1), window, axis=2)
        return filtered

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))


@pytest.fixture
def double() -> Iterator[None]:
    """Torchmetrics in 64 bits: it makes states and constants (ln 10) in torch's default, which costs 1e-6 dB."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def batch(image: Image) -> torch.Tensor:
    return torch.from_numpy(image.astype(np.float64))[None]


@pairs
def test_of_the_whole_image_as_skimage_and_numpy(completed: Image, truth: Image) -> None:
    assert l1(completed, truth) == pytest.approx(100 * np.abs(completed / 255 - truth / 255).mean(), abs=1e-6)
    assert psnr(completed, truth) == pytest.approx(skimage_psnr(truth, completed), abs=1e-6)
    reference = structural_similarity(
        truth, completed, channel_axis=0, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert ssim(ssim_map(completed, truth)) == pytest.approx(reference, abs=1e-6)


@pytest.mark.usefixtures("double")
@pairs
def test_of_the_whole_image_as_torchmetrics(completed: Image, truth: Image) -> None:
    mae = MeanAbsoluteError()
    assert l1(completed, truth) == pytest.approx(100 / 255 * float(mae(batch(completed), batch(truth))), abs=1e-6)
    ratio = PeakSignalNoiseRatio(data_range=255.0)
    assert psnr(completed, truth) == pytest.approx(float(ratio(batch(completed), batch(truth))), abs=1e-6)


@pytest.mark.usefixtures("double")
@pairs
def test_ssim_is_torchmetrics_without_its_mirrored_edges(completed: Image, truth: Image) -> None:
    """The difference of definition: torchmetrics averages the map up to the edge, Wang where the window lies inside."""
    similarity = StructuralSimilarityIndexMeasure(data_range=255.0, reduction="none", return_full_image=True)
    _, full = similarity(batch(completed), batch(truth))
    assert ssim(ssim_map(completed, truth)) == pytest.approx(float(full[..., 5:-5, 5:-5].mean()), abs=1e-6)


@pytest.mark.usefixtures("double")
def test_ssim_of_skimage_and_torchmetrics_by_default_is_something_else() -> None:
    completed, truth = near(noise(0)) // 2, noise(0) // 2  # values up to 127
    ours = ssim(ssim_map(completed, truth))
    assert abs(structural_similarity(truth, completed, channel_axis=0) - ours) > 1e-4
    assert abs(float(StructuralSimilarityIndexMeasure()(batch(completed), batch(truth))) - ours) > 1e-4
    up_to_the_edge = StructuralSimilarityIndexMeasure(data_range=255.0)
    assert abs(float(up_to_the_edge(batch(completed), batch(truth))) - ours) > 1e-6


@masks
@pairs
def test_of_the_hole(completed: Image, truth: Image, mask: Image) -> None:
    inside = np.broadcast_to(mask == 1, truth.shape)
    difference = np.abs(completed / 255 - truth / 255)
    assert l1_hole(completed, truth, mask) == pytest.approx(100 * difference.mean(where=inside), abs=1e-6)
    assert psnr_hole(completed, truth, mask) == pytest.approx(skimage_psnr(truth[inside], completed[inside]), abs=1e-6)
    rows, columns = (np.flatnonzero(mask[0].any(axis=axis)) for axis in (1, 0))
    box = wang_map(completed.astype(float), truth.astype(float))[
        :, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1
    ]
    assert ssim_hole(ssim_map(completed, truth), mask) == pytest.approx(box.mean(), abs=1e-6)


@pytest.mark.parametrize("name", ["center", "one pixel", "two"])
def test_of_a_composite_the_hole_and_the_image_tell_the_same(name: str) -> None:
    truth, mask = noise(0), MASKS[name]
    completed = np.where(mask == 1, noise(1), truth)
    share = mask.mean()
    assert l1(completed, truth) == pytest.approx(l1_hole(completed, truth, mask) * share, abs=1e-6)
    assert psnr(completed, truth) == pytest.approx(psnr_hole(completed, truth, mask) - 10 * np.log10(share), abs=1e-6)


@masks
def test_the_truth_scores_perfectly(mask: Image) -> None:
    image = noise(0)
    assert score(image, image, mask) == {
        "l1_hole": 0,
        "l1": 0,
        "psnr": np.inf,
        "psnr_hole": np.inf,
        "ssim": 1,
        "ssim_hole": 1,
    }


def test_by_hand() -> None:
    truth = np.full((3, 16, 16), 100, np.uint8)
    mask = hole(0, 0, 4, 4, 16)
    completed = np.where(mask == 1, np.uint8(151), truth)  # off by a fifth of 255 in a sixteenth of the image
    scores = score(completed, truth, mask)
    assert scores["l1_hole"] == pytest.approx(20)
    assert scores["l1"] == pytest.approx(20 / 16)
    assert scores["psnr"] == pytest.approx(10 * np.log10(25 * 16))
    assert scores["psnr_hole"] == pytest.approx(10 * np.log10(25))
    assert scores["ssim_hole"] < scores["ssim"] < 1


def test_a_shifted_completion_scores_worse() -> None:
    ramp = np.add.outer(np.arange(S), np.arange(S)).astype(np.uint8)
    truth = np.stack([ramp, ramp.T, ramp]) + noise(0) // 4
    mask = MASKS["center"]
    completed = near(truth)
    shifted = np.roll(completed, 2, axis=2)
    good, bad = (score(np.where(mask == 1, image, truth), truth, mask) for image in (completed, shifted))
    for name, metric in definitions.METRICS.items():
        assert (good[name] > bad[name]) if metric.higher else (good[name] < bad[name]), name


def test_names_and_their_order_are_the_definitions() -> None:
    completed, truth = PAIRS["near"]
    assert list(score(completed, truth, MASKS["half"])) == list(definitions.METRICS)
    extended = score(completed, truth, MASKS["half"], ["lpips", "edgeconnect", "fid"])
    assert list(extended) == [*definitions.METRICS, *definitions.EXTRA["edgeconnect"]]


def test_no_hole_is_undefined_there() -> None:
    completed, truth = PAIRS["near"]
    scores = score(completed, truth, np.zeros((1, S, S), np.uint8))
    assert {name for name, value in scores.items() if np.isnan(value)} == {"l1_hole", "psnr_hole", "ssim_hole"}


@pytest.mark.parametrize("size", [51, 64])
@pytest.mark.parametrize("pair", ["random", "near", "black and random", "white and black"])
def test_edgeconnects_formulas(size: int, pair: str) -> None:
    """As knazeri/edge-connect's scripts/metrics.py, in 64 bits."""
    completed, truth = (image[:, :size, :size] for image in PAIRS[pair])
    gt, pred = (rgb2gray(image.transpose(1, 2, 0) / 255.0) for image in (truth, completed))
    expected = {
        "psnr_gray": peak_signal_noise_ratio(gt, pred, data_range=1),
        "ssim_gray": structural_similarity(gt, pred, data_range=1, win_size=51),
        "mae_gray": np.sum(np.abs(gt - pred)) / np.sum(gt + pred),
    }
    assert edgeconnect(completed, truth) == pytest.approx(expected, abs=1e-6)


def test_edgeconnects_script_rounds_to_32_bits() -> None:
    completed, truth = PAIRS["near"]
    gt, pred = (rgb2gray((image.transpose(1, 2, 0) / 255.0).astype(np.float32)) for image in (truth, completed))
    gray = edgeconnect(completed, truth)
    assert gt.dtype == np.float32
    assert gray["psnr_gray"] == pytest.approx(peak_signal_noise_ratio(gt, pred, data_range=1), abs=1e-5)
    assert gray["mae_gray"] == pytest.approx(np.sum(np.abs(gt - pred)) / np.sum(gt + pred), abs=1e-6)


def test_edgeconnects_uniform_window_by_hand() -> None:
    """Of 51×51 pixels the window fits once: means, and variances over n − 1, of the whole gray images."""
    completed, truth = (image[:, :51, :51] for image in PAIRS["near"])
    x, y = (np.einsum("c,chw->hw", [0.2125, 0.7154, 0.0721], image / 255) for image in (completed, truth))
    cov = np.cov(x.ravel(), y.ravel(), ddof=1)
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * x.mean() * y.mean() + c1) / (x.mean() ** 2 + y.mean() ** 2 + c1)
    expected = luminance * (2 * cov[0, 1] + c2) / (cov[0, 0] + cov[1, 1] + c2)
    assert edgeconnect(completed, truth)["ssim_gray"] == pytest.approx(expected, abs=1e-6)


def test_where_edgeconnects_are_undefined_or_infinite() -> None:
    same = edgeconnect(noise(0), noise(0))
    assert same == {"psnr_gray": np.inf, "ssim_gray": pytest.approx(1, abs=1e-6), "mae_gray": 0}
    black = edgeconnect(BLACK, BLACK)
    assert black["psnr_gray"] == np.inf
    assert np.isnan(black["mae_gray"])
    small = edgeconnect(noise(0, 50), noise(1, 50))
    assert np.isnan(small["ssim_gray"])
    assert np.isfinite([small["psnr_gray"], small["mae_gray"]]).all()


def test_colors_that_are_equally_gray_are_no_error_to_edgeconnect() -> None:
    """2125 · 189 = (7154 + 721) · 51; sums of floats would find some 320 dB."""
    red, cyan = (np.zeros((3, S, S), np.uint8) for _ in range(2))
    red[0], cyan[1:] = 189, 51
    gray = edgeconnect(red, cyan)
    assert gray == {"psnr_gray": np.inf, "ssim_gray": pytest.approx(1, abs=1e-6), "mae_gray": 0}


@pytest.mark.parametrize("metric", [l1, psnr, ssim_map, lambda a, b: edgeconnect(a, b)["ssim_gray"]])
def test_images_may_lie_in_memory_as_they_like(metric: Callable[[Image, Image], Any]) -> None:
    completed, truth = PAIRS["near"]
    turned = [np.ascontiguousarray(image.transpose(1, 2, 0)).transpose(2, 0, 1) for image in (completed, truth)]
    for image in turned:
        image.setflags(write=False)
    assert np.array_equal(metric(*turned), metric(completed, truth))
