"""The trained network completes the hole alone, at any size; weights files are byte-stable and bad ones named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from glcic.errors import UserError
from glcic.inference.completer import Completer
from glcic.masks.geometry import box_masks
from glcic.networks.weights import load_weights, save_weights
from support.networks import generator
from support.project import ABOUT


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "weights.safetensors"
    about = {**ABOUT, "mean_pixel": [0.1, 0.5, 0.9]}
    save_weights(path, generator(0.0625).state_dict(), about)
    return path


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 22)])
def test_completer_changes_the_hole_only_at_any_size(weights: Path, height: int, width: int) -> None:
    images = noise(3, 3, height, width)
    masks = np.zeros((3, 1, height, width), dtype=np.uint8)
    masks[:, :, 3:9, 4:12] = 1
    completed = Completer(weights)(images, masks, batch_size=2)
    hole = np.broadcast_to(masks == 1, images.shape)
    assert np.array_equal(completed[~hole], images[~hole])
    assert not np.array_equal(completed[hole], images[hole])


def test_a_completion_depends_on_nothing_but_its_image_and_mask(weights: Path) -> None:
    images, masks = noise(5, 3, 16, 16), box_masks(np.tile([[3, 4, 8, 7]], (5, 1)), 16)
    completer = Completer(weights)
    together = completer(images, masks, batch_size=4)
    assert np.array_equal(together[4:], completer(images[4:], masks[4:], batch_size=4))
    hidden = np.where(masks == 1, np.uint8(0), images)  # what is under the hole must not matter
    assert np.array_equal(together, completer(hidden, masks, batch_size=4))


@pytest.mark.parametrize("kind", [bool, np.int64, np.float32])
@pytest.mark.parametrize("white", [1, 255])
def test_masks_of_0_and_255_are_those_of_0_and_1(weights: Path, kind: type, white: int) -> None:
    images, masks = noise(2, 3, 16, 16), box_masks(np.tile([[3, 4, 8, 7]], (2, 1)), 16)
    completer = Completer(weights)
    assert np.array_equal(completer(images, (masks.astype(int) * white).astype(kind)), completer(images, masks))


@pytest.mark.parametrize(
    ("images", "error", "complaint"),
    [
        (noise(1, 3, 16, 16) / 255, TypeError, "images of type float64; give uint8, from 0 to 255"),
        (noise(3, 16, 16), ValueError, r"images of shape \(3, 16, 16\); give \(N, 3, H, W\)"),
        (noise(1, 16, 16, 3), ValueError, "images of shape"),
    ],
)
def test_images_of_another_kind_are_refused(weights: Path, images: np.ndarray, error: Any, complaint: str) -> None:
    with pytest.raises(error, match=complaint):
        Completer(weights)(images, box_masks(np.array([[3, 4, 8, 7]]), 16))


def test_a_large_hole_must_be_meant(weights: Path) -> None:
    images, masks = noise(1, 3, 16, 16), 1 - box_masks(np.array([[3, 4, 8, 7]]), 16)
    with pytest.raises(ValueError, match=r"mask 0: covers 78.1 % .* allow_large=True"):
        Completer(weights)(images, masks)
    completed = Completer(weights)(images, masks, allow_large=True)
    assert np.array_equal(completed[:, :, 3:11, 4:11], images[:, :, 3:11, 4:11])


def test_output_that_is_not_finite_is_refused(weights: Path) -> None:
    completer = Completer(weights)
    with torch.no_grad():
        next(completer.network.parameters()).fill_(torch.nan)
    with pytest.raises(UserError, match=r"weights\.safetensors: the network's output is not finite"):
        completer(noise(1, 3, 16, 16), box_masks(np.array([[3, 4, 8, 7]]), 16))


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
    with pytest.raises(UserError, match="not the weights of a generator"):
        Completer(tmp_path / "other")


def test_views_and_paths_as_text_are_taken_and_batches_of_nothing_are_not(weights: Path) -> None:
    images, masks = noise(2, 3, 16, 16), box_masks(np.tile([[3, 4, 8, 7]], (2, 1)), 16)
    completer = Completer(str(weights))  # type: ignore[arg-type]
    expected = completer(np.ascontiguousarray(images[..., ::-1]), masks)
    view = images[..., ::-1]
    view.setflags(write=False)
    assert np.array_equal(completer(view, masks), expected)
    for size in (0, -1):
        with pytest.raises(ValueError, match="batch_size of"):
            completer(images, masks, batch_size=size)
    with pytest.raises(ValueError, match="images of shape"):
        completer(images[:, :, :0], masks[:, :, :0])
