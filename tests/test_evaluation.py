"""Metrics against values worked out by hand; baselines and completer keep what is outside the hole."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ABOUT, Project
from scipy.ndimage import correlate1d

from glcic.completion import Completer
from glcic.data.faces import Faces
from glcic.errors import UserError
from glcic.evaluation.baselines import inpaint, mean_fill
from glcic.evaluation.evaluate import evaluate
from glcic.evaluation.metrics import l1, l1_hole, psnr, ssim
from glcic.evaluation.tables import headline, means, read_methods, write_methods
from glcic.masks import box_masks
from glcic.networks.completion import CompletionNetwork
from glcic.training.weights import load_weights, save_weights


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_l1_and_psnr_by_hand() -> None:
    truth = np.full((3, 16, 16), 100, dtype=np.uint8)
    mask = np.zeros((1, 16, 16), dtype=np.uint8)
    mask[0, :4, :4] = 1
    completed = np.where(mask == 1, np.uint8(151), truth)  # off by a fifth of 255 in a sixteenth of the image
    assert l1_hole(completed, truth, mask) == pytest.approx(20)
    assert l1(completed, truth) == pytest.approx(20 / 16)
    assert psnr(completed, truth) == pytest.approx(10 * np.log10(255**2 / (51**2 / 16)))


def test_identical_images() -> None:
    image = noise(3, 16, 16)
    assert l1(image, image) == 0
    assert psnr(image, image) == np.inf
    assert ssim(image, image) == pytest.approx(1)


def test_ssim_is_wangs() -> None:
    """Written out from the paper: 11×11 Gaussian window with σ 1.5, K₁ 0.01, K₂ 0.03, valid region, per channel."""
    x, y = noise(3, 24, 24).astype(float), noise(3, 24, 24, seed=1).astype(float)
    y = 0.7 * x + 0.3 * y.round()
    y = y.astype(np.uint8).astype(float)
    window = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(image: np.ndarray) -> Any:
        return correlate1d(correlate1d(image, window, axis=1), window, axis=2)[:, 5:-5, 5:-5]

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    expected = ((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean()
    assert ssim(y.astype(np.uint8), x.astype(np.uint8)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("method", ["mean_fill", "telea", "navier_stokes"])
def test_baselines_change_the_hole_only(method: str) -> None:
    images = noise(3, 3, 16, 16)
    masks = box_masks(np.array([[4, 5, 6, 7], [0, 0, 3, 3], [13, 2, 3, 9]]), 16)
    completed = mean_fill(images, masks, [0.2, 0.4, 0.6]) if method == "mean_fill" else inpaint(images, masks, method)
    assert completed.dtype == np.uint8
    hole = np.broadcast_to(masks == 1, images.shape)
    assert np.array_equal(completed[~hole], images[~hole])
    assert not np.array_equal(completed[hole], images[hole])
    if method == "mean_fill":
        assert completed[0, :, 4, 5].tolist() == [51, 102, 153]


def test_classical_methods_continue_a_flat_colour() -> None:
    images = np.full((1, 3, 16, 16), 120, dtype=np.uint8)
    masks = box_masks(np.array([[4, 4, 8, 8]]), 16)
    spoilt = np.where(masks == 1, np.uint8(0), images)
    for method in ("telea", "navier_stokes"):
        assert np.abs(inpaint(spoilt, masks, method).astype(int) - 120).max() <= 2


def test_perfect_and_mean_filling_methods_score_as_they_must(cropped: Project) -> None:
    faces = Faces(cropped.folder / "data" / "faces", "test")
    methods = {
        "perfect": lambda images, masks: images,
        "mean_fill": lambda images, masks: mean_fill(images, masks, faces.mean_pixel),
        "same": lambda images, masks: mean_fill(images, masks, faces.mean_pixel),
    }
    scores = evaluate(faces, methods, "center", seed=0, batch=3)
    assert len(scores) == 3 * len(faces)
    result = means(scores)["center"]
    assert result["perfect"] == {"l1_hole": 0, "l1": 0, "psnr": None, "ssim": 1}
    assert result["same"] == result["mean_fill"]
    hole = scores[(scores["method"] == "mean_fill")]
    assert (hole["l1_hole"] * 0.25).tolist() == pytest.approx(hole["l1"].tolist())  # the hole is a quarter


def test_means_are_over_finite_scores() -> None:
    table = pd.DataFrame(
        {"mask_set": "center", "method": "m", "l1_hole": [1, 3], "l1": [1, 3], "psnr": [20, np.inf], "ssim": [0.5, 1]}
    )
    assert means(table) == {"center": {"m": {"l1_hole": 2, "l1": 2, "psnr": 20, "ssim": 0.75}}}


def test_tables_of_methods_and_headline() -> None:
    perfect, fair = ({"l1_hole": 0.0, "l1": 0.0, "psnr": v, "ssim": 1.0} for v in (None, 24.5))
    methods = {"center": {"completion": fair, "telea": perfect}, "box": {"completion": perfect}}
    assert write_methods(methods).splitlines()[2] == "center,telea,0.0,0.0,,1.0"
    assert read_methods(write_methods(methods)) == methods
    assert headline({"center": methods["center"]}, methods) == {
        "val": {"center": fair},
        "test": {"center": fair, "box": perfect},
    }


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "weights.safetensors"
    about = {**ABOUT, "mean_pixel": [0.1, 0.5, 0.9]}
    save_weights(path, CompletionNetwork(0.0625).state_dict(), about)
    return path


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 22)])
def test_completer_changes_the_hole_only_at_any_size(weights: Path, height: int, width: int) -> None:
    images = noise(3, 3, height, width)
    masks = np.zeros((3, 1, height, width), dtype=np.uint8)
    masks[:, :, 3:9, 4:12] = 1
    completed = Completer(weights)(images, masks, batch=2)
    hole = np.broadcast_to(masks == 1, images.shape)
    assert np.array_equal(completed[~hole], images[~hole])
    assert not np.array_equal(completed[hole], images[hole])


def test_a_completion_depends_on_nothing_but_its_image_and_mask(weights: Path) -> None:
    images, masks = noise(5, 3, 16, 16), box_masks(np.tile([[3, 4, 8, 7]], (5, 1)), 16)
    completer = Completer(weights)
    together = completer(images, masks, batch=4)
    assert np.array_equal(together[4:], completer(images[4:], masks[4:], batch=4))
    hidden = np.where(masks == 1, np.uint8(0), images)  # what is under the hole must not matter
    assert np.array_equal(together, completer(hidden, masks, batch=4))


def test_weights_are_byte_stable_and_know_what_they_are(weights: Path, tmp_path: Path) -> None:
    state, about = load_weights(weights)
    save_weights(tmp_path / "again", dict(reversed(state.items())), dict(reversed(about.items())))
    assert (tmp_path / "again").read_bytes() == weights.read_bytes()


def test_bad_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        Completer(tmp_path / "missing")
    (tmp_path / "text").write_text("no weights")
    with pytest.raises(UserError, match="not a weights file"):
        Completer(tmp_path / "text")
    save_weights(tmp_path / "other", {"a": torch.zeros(1)}, {"mean_pixel": [0, 0, 0]})
    with pytest.raises(UserError, match="not the weights of a completion network"):
        Completer(tmp_path / "other")
