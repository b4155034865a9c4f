"""The masks of an evaluation: inside their bounds, the same each time, stored with their hash."""

import hashlib
from itertools import pairwise
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from glcic.errors import UserError
from glcic.evaluation.definitions import MASK_SETS, PLACES, SHARES
from glcic.evaluation.mask_sets import MaskSet, draw, draw_all, manifest, store, stored
from glcic.masks.files import folder_digest, read_masks
from glcic.masks.geometry import box_masks
from glcic.params import MaskSet as Named
from glcic.params import load, load_report
from support.project import ROOT

DRAWN = [name for name in MASK_SETS if name != "files"]
BUCKETS = [(f"strokes_{low}_{high}", low, high) for low, high in pairwise(SHARES)]


def test_params_know_the_mask_sets() -> None:
    assert set(get_args(Named)) == set(MASK_SETS)


@pytest.mark.parametrize("name", DRAWN)
def test_a_mask_set_is_a_function_of_its_arguments(name: str) -> None:
    mask_set = draw(name, 3, 24, 32)
    assert mask_set.masks.shape == (24, 1, 32, 32)
    assert mask_set.masks.dtype == np.uint8
    assert set(np.unique(mask_set.masks)) == {0, 1}
    assert (mask_set.masks.any(axis=(1, 2, 3)) & ~mask_set.masks.all(axis=(1, 2, 3))).all()
    assert mask_set.sha256 == draw(name, 3, 24, 32).sha256
    drawn_by_seed = name not in ("center", "fixed", "half")
    assert (mask_set.sha256 != draw(name, 4, 24, 32).sha256) == drawn_by_seed


def test_a_kept_report_can_be_given_its_masks_again() -> None:
    """Whoever scores the same images later has the same masks, of every mask set that is drawn."""
    folder = ROOT / "reports" / "celeba-small"
    section = load_report(folder / "params.yaml").evaluate
    assert section.mask_sets == DRAWN
    kept = pd.read_csv(folder / "masks.csv").query("split == 'test'")
    n, size = kept[["images", "size"]].to_numpy()[0]
    assert {mask_set.name: mask_set.sha256 for mask_set in draw_all(section, n, size)} == dict(
        zip(kept["mask_set"], kept["sha256"], strict=True)
    )


def test_an_evaluation_draws_with_a_seed_of_its_own() -> None:
    section = load(ROOT / "presets" / "default.yaml").evaluate.model_copy(update={"mask_sets": DRAWN, "mask_seed": 3})
    assert [mask_set.sha256 for mask_set in draw_all(section, 5, 32)] == [draw(name, 3, 5, 32).sha256 for name in DRAWN]


def test_the_hash_is_of_shape_and_bytes() -> None:
    masks = box_masks(np.array([[0, 1, 2, 3]]), 4)
    expected = hashlib.sha256(b"1 1 4 4" + bytes([0, 1, 1, 1] * 2 + [0] * 8)).hexdigest()
    assert MaskSet("any", masks).sha256 == expected


@pytest.mark.parametrize(("name", "low", "high"), BUCKETS)
def test_strokes_cover_their_share(name: str, low: int, high: int) -> None:
    area_ratios = 100 * draw(name, 0, 40, 64).area_ratios
    assert (area_ratios >= low).all()
    assert (area_ratios <= high).all()
    assert area_ratios.std() > 0


@pytest.mark.parametrize("size", [64, 128, 256])
def test_box_is_mmagics_protocol_scaled(size: int) -> None:
    mask_set = draw("box", 0, 300, size)
    smallest, largest = np.ceil(108 * size / 256), 128 * size // 256
    assert mask_set.boxes[:, 2:].min() == smallest
    assert mask_set.boxes[:, 2:].max() == largest
    assert mask_set.margins.min() == np.ceil(20 * size / 256)
    assert np.array_equal(mask_set.area_ratios * size**2, mask_set.boxes[:, 2] * mask_set.boxes[:, 3])


def test_box_of_two_sizes_in_numbers() -> None:
    for size, smallest, largest, margin in ((256, 108, 128, 20), (64, 27, 32, 5)):
        boxes = draw("box", 0, 4000 if size == 64 else 500, size).boxes
        assert (boxes[:, 2:].min(), boxes[:, 2:].max()) == (smallest, largest)
        assert boxes[:, :2].min() == margin
        assert (boxes[:, :2] + boxes[:, 2:]).max() == size - margin


def test_center_is_the_middle_square() -> None:
    assert draw("center", 0, 2, 64).boxes.tolist() == [[16, 16, 32, 32]] * 2


def test_border_masks_touch_every_edge() -> None:
    boxes = draw("border", 0, 100, 64).boxes
    far = boxes[:, :2] + boxes[:, 2:]
    touches = np.concatenate([boxes[:, :2] == 0, far == 64], axis=1)
    assert touches.any(axis=1).all()
    assert touches.any(axis=0).all()
    assert (draw("border", 0, 100, 64).margins == 0).all()


def test_fixed_places_and_halves() -> None:
    boxes = draw("fixed", 0, 13, 128).boxes
    assert boxes[:, :2].tolist() == [*map(list, PLACES), *map(list, PLACES[:3])]
    assert (boxes[:, 2:] == 32).all()
    assert len(set(PLACES)) == 10
    halves = draw("half", 0, 5, 16)
    assert (halves.area_ratios == 0.5).all()
    assert halves.boxes.tolist() == [[0, 0, 16, 8], [0, 8, 16, 8], [0, 0, 8, 16], [8, 0, 8, 16], [0, 0, 16, 8]]


def test_stored_masks_come_back_with_their_hash(tmp_path: Path) -> None:
    sets = [draw(name, 0, 9, 20) for name in ("center", "strokes_20_30")]  # a side that is no multiple of 8
    store(tmp_path / "masks.npz", {"test": sets})
    once = (tmp_path / "masks.npz").read_bytes()
    store(tmp_path / "masks.npz", {"test": sets})
    assert (tmp_path / "masks.npz").read_bytes() == once
    for mask_set in sets:
        assert stored(tmp_path / "masks.npz", "test", mask_set.name, 20).sha256 == mask_set.sha256
    with pytest.raises(UserError, match="no mask set box"):
        stored(tmp_path / "masks.npz", "test", "box", 20)
    with pytest.raises(UserError, match="dvc repro"):
        stored(tmp_path / "missing.npz", "test", "box", 20)


def test_manifest_names_every_set() -> None:
    table = manifest({"val": [draw("center", 0, 2, 16)], "test": [draw("center", 0, 3, 16)]}, 0, "abc")
    assert table["split"].tolist() == ["val", "test"]
    assert table["images"].tolist() == [2, 3]
    assert (table[["smallest", "mean", "largest"]] == 25).all(axis=None)
    assert table["sha256"].nunique() == 2
    assert set(table["images_sha256"]) == {"abc"}


def test_masks_of_a_user_are_taken_in_turn_and_must_be_those_meant(tmp_path: Path) -> None:
    for name, column in (("a", 0), ("b", 1)):
        pixels = np.zeros((4, 4), np.uint8)
        pixels[1, column] = 255
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    files = read_masks(tmp_path, folder_digest(tmp_path), "evaluate.mask_folder.sha256", 4)
    mask_set = draw("files", 0, 3, 4, files)
    assert mask_set.boxes.tolist() == [[1, 0, 1, 1], [1, 1, 1, 1], [1, 0, 1, 1]]
    with pytest.raises(UserError, match=folder_digest(tmp_path)):
        read_masks(tmp_path, "0" * 64, "evaluate.mask_folder.sha256", 4)
