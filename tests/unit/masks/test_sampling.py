"""Training masks keep to their bounds, reach them, and depend on the random numbers alone."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from glcic.errors import UserError
from glcic.masks.files import folder_digest, mask_files
from glcic.masks.geometry import bounding_boxes, box_masks, random_boxes
from glcic.masks.sampling import (
    MaskSampler,
    border_masks,
    center_masks,
    file_masks,
    half_masks,
    mixed_masks,
    random_box_masks,
    stroke_masks,
)
from glcic.params import BoxMasks, HalfMasks
from support.pictures import smooth


def parts(mask: np.ndarray) -> int:
    """How many connected pieces a mask (1, S, S) has; pixels that touch at a corner are connected."""
    return int(ndimage.label(mask[0], np.ones((3, 3)))[1])


def test_center_is_the_middle_square() -> None:
    expected = np.zeros((2, 1, 9, 9))
    expected[:, :, 2:6, 2:6] = 1
    masks = center_masks(np.random.default_rng(0), 2, 9, 4)
    assert masks.dtype == np.uint8
    assert np.array_equal(masks, expected)


def test_one_box_is_a_random_box_and_uses_no_other_randomness() -> None:
    ours, theirs = np.random.default_rng(5), np.random.default_rng(5)
    masks = random_box_masks(ours, 50, 32, (3, 9), 2, (1, 1))
    assert np.array_equal(masks, box_masks(random_boxes(theirs, 50, 32, (3, 9), 2), 32))
    assert ours.bit_generator.state == theirs.bit_generator.state


def test_several_boxes_keep_to_their_number_and_margin() -> None:
    masks = random_box_masks(np.random.default_rng(0), 400, 64, (3, 6), 5, (2, 4))
    assert masks.shape == (400, 1, 64, 64)
    assert masks.dtype == np.uint8
    counts = [parts(mask) for mask in masks]
    assert max(counts) == 4
    assert min(counts) <= 2
    areas = masks.sum(axis=(1, 2, 3))
    assert areas.min() >= 3 * 3
    assert areas.max() <= 4 * 6 * 6
    boxes = bounding_boxes(masks)
    assert boxes[:, :2].min() == 5
    assert (boxes[:, :2] + boxes[:, 2:]).max() == 64 - 5


def test_every_number_of_boxes_is_equally_likely() -> None:
    masks = random_box_masks(np.random.default_rng(0), 3000, 64, (1, 1), 0, (1, 3))
    counts = np.bincount(masks.sum(axis=(1, 2, 3)), minlength=4)  # single pixels hardly ever coincide
    assert counts[0] == 0
    assert np.abs(counts[1:] / 3000 - 1 / 3).max() < 0.04


@pytest.mark.parametrize("size", [8, 33, 64])
@pytest.mark.parametrize("area_ratio", [(0.05, 0.12), (0.1, 0.5), (0.8, 0.95)])
def test_strokes_cover_their_share(size: int, area_ratio: tuple[float, float]) -> None:
    masks = stroke_masks(np.random.default_rng(0), 150, size, area_ratio)
    assert masks.shape == (150, 1, size, size)
    assert masks.dtype == np.uint8
    assert set(np.unique(masks)) == {0, 1}
    share = masks.mean(axis=(1, 2, 3))
    slack = (area_ratio[1] - area_ratio[0]) / 20 + 1 / size**2
    assert area_ratio[0] <= share.min() < area_ratio[0] + slack
    assert area_ratio[1] - slack < share.max() <= area_ratio[1]


def test_strokes_between_two_whole_pixels_have_the_lower_number() -> None:
    assert (stroke_masks(np.random.default_rng(0), 10, 10, (0.305, 0.309)).sum(axis=(1, 2, 3)) == 30).all()
    assert (stroke_masks(np.random.default_rng(0), 10, 10, (0.001, 0.002)).sum(axis=(1, 2, 3)) == 1).all()


def test_strokes_are_thick_and_few() -> None:
    """No scattered pixels: a stroke's pixels belong together, and nearly all lie in a 3×3 square of the hole."""
    masks = stroke_masks(np.random.default_rng(0), 100, 64, (0.1, 0.3))
    assert max(parts(mask) for mask in masks) <= 12
    opened = ndimage.binary_opening(masks, np.ones((1, 1, 3, 3)))
    assert opened.sum() > 0.97 * masks.sum()


def test_strokes_go_everywhere() -> None:
    often = stroke_masks(np.random.default_rng(0), 400, 16, (0.2, 0.4)).mean(axis=0)
    assert often.min() > 0.1


def test_masks_depend_on_the_random_numbers_alone() -> None:
    def draw(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return np.concatenate([stroke_masks(rng, 5, 32, (0.1, 0.3)), random_box_masks(rng, 5, 32, (3, 9), 0, (1, 4))])

    assert np.array_equal(draw(1), draw(1))
    assert not np.array_equal(draw(1), draw(2))


def save(path: Path, mask: np.ndarray) -> None:
    Image.fromarray((mask * 255).astype(np.uint8)).save(path)


def two_masks(folder: Path) -> np.ndarray:
    """Write b.png and a.PNG, and a file that is no mask; the masks in the order of their names."""
    masks = np.zeros((2, 1, 8, 8), np.uint8)
    masks[0, 0, 1:4, 2:6] = 1
    masks[1, 0, 5, :] = 1
    save(folder / "b.png", masks[1, 0])
    save(folder / "a.PNG", masks[0, 0])
    (folder / "README.md").write_text("whose masks these are")
    return masks


def test_mask_files_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    masks = two_masks(tmp_path)
    found = mask_files(tmp_path, 8)
    assert found.dtype == np.uint8
    assert np.array_equal(found, masks)


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "webp"])
def test_other_formats_and_sizes(tmp_path: Path, suffix: str) -> None:
    half = np.zeros((32, 32))
    half[:16] = 1
    save(tmp_path / f"half.{suffix}", half)
    assert np.array_equal(mask_files(tmp_path, 8)[0, 0], half[::4, ::4])


def test_gray_from_128_on_is_hole(tmp_path: Path) -> None:
    Image.fromarray(np.array([[127, 128], [0, 255]], np.uint8)).save(tmp_path / "gray.png")
    assert mask_files(tmp_path, 2)[0, 0].tolist() == [[0, 1], [0, 1]]


@pytest.mark.parametrize(
    ("mask", "complaint"),
    [
        (np.zeros((8, 8)), "nothing is white; paint the hole white"),
        (np.ones((8, 8)), "everything is white; leave black"),
        (np.eye(8)[:6], "8×6 pixels; make it square"),
    ],
)
def test_bad_masks_are_named(tmp_path: Path, mask: np.ndarray, complaint: str) -> None:
    two_masks(tmp_path)
    save(tmp_path / "bad.png", mask)
    with pytest.raises(UserError, match=rf"bad\.png: {complaint}"):
        mask_files(tmp_path, 8)


def test_inverted_masks_and_photos_are_named(tmp_path: Path) -> None:
    two_masks(tmp_path)
    inverted = np.ones((8, 8))
    inverted[2:4, 2:6] = 0
    save(tmp_path / "bad.png", inverted)
    with pytest.raises(UserError, match=r"bad\.png: covers 87.5 % of the image; is it inverted\? invert it, or remove"):
        mask_files(tmp_path, 8)
    Image.fromarray(smooth(64, 64)).save(tmp_path / "bad.png")
    with pytest.raises(UserError, match=r"bad\.png.*: 9.* % of it is gray, as in a photo; .*, or remove it"):
        mask_files(tmp_path, 8)


def test_a_hole_that_scaling_loses_is_named(tmp_path: Path) -> None:
    dot = np.zeros((64, 64))
    dot[0, 0] = 1
    save(tmp_path / "dot.png", dot)
    with pytest.raises(UserError, match=r"dot\.png, scaled to 8×8 pixels: nothing is white"):
        mask_files(tmp_path, 8)


def test_hidden_files_are_no_masks(tmp_path: Path) -> None:
    """A Mac leaves ._mask.png beside mask.png."""
    masks = two_masks(tmp_path)
    digest = folder_digest(tmp_path)
    (tmp_path / "._b.png").write_bytes(b"no image")
    assert np.array_equal(mask_files(tmp_path, 8), masks)
    assert folder_digest(tmp_path) == digest


@pytest.mark.parametrize("share", [0, 0.5])
def test_unreadable_masks_are_named(tmp_path: Path, share: float) -> None:
    two_masks(tmp_path)
    whole = (tmp_path / "b.png").read_bytes()
    (tmp_path / "bad.png").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UserError, match=r"bad\.png: not an image .* remove it"):
        mask_files(tmp_path, 8)


def test_a_folder_without_masks_is_named(tmp_path: Path) -> None:
    for folder, complaint in ((tmp_path, "no masks; put"), (tmp_path / "none", "no such folder; name")):
        with pytest.raises(UserError, match=complaint):
            mask_files(folder, 8)
        with pytest.raises(UserError, match=complaint):
            folder_digest(folder)


def test_digest_changes_with_names_and_contents_of_masks_only(tmp_path: Path) -> None:
    masks = two_masks(tmp_path)
    digest = folder_digest(tmp_path)
    assert len(digest) == 64
    (tmp_path / "README.md").unlink()
    assert folder_digest(tmp_path) == digest
    save(tmp_path / "b.png", 1 - masks[1, 0])
    changed = folder_digest(tmp_path)
    (tmp_path / "b.png").rename(tmp_path / "c.png")
    renamed = folder_digest(tmp_path)
    assert len({digest, changed, renamed}) == 3


def test_file_masks_picks_all_of_them() -> None:
    masks = np.eye(5, dtype=np.uint8).reshape(5, 1, 5, 1)
    picked = file_masks(np.random.default_rng(0), 1000, masks)
    assert picked.shape == (1000, 1, 5, 1)
    assert picked.sum(axis=0).min() > 150


def test_border_masks_touch_each_edge_equally_often() -> None:
    masks = border_masks(np.random.default_rng(0), 2000, 32, (6, 9))
    boxes = bounding_boxes(masks)
    assert np.array_equal(masks, box_masks(boxes, 32))
    assert boxes[:, 2:].min() == 6
    assert boxes[:, 2:].max() == 9
    ends = boxes[:, :2] + boxes[:, 2:]
    touching = np.stack([boxes[:, 0] == 0, boxes[:, 1] == 0, ends[:, 0] == 32, ends[:, 1] == 32])
    assert touching.any(axis=0).all()
    assert (touching.mean(axis=1) > 0.23).all()  # a box in a corner touches two
    assert (touching.mean(axis=1) < 0.35).all()


def test_half_masks_are_the_four_halves_equally_often() -> None:
    found = [mask.tobytes() for mask in half_masks(np.random.default_rng(0), 2000, 12)]
    kinds = {kind: found.count(kind) / 2000 for kind in set(found)}
    assert len(kinds) == 4
    assert all(np.frombuffer(kind, np.uint8).mean() == 0.5 for kind in kinds)
    assert all(abs(share - 0.25) < 0.04 for share in kinds.values())


def test_a_mixture_has_its_kinds_in_proportion_to_their_weights_in_random_order() -> None:
    drawers = [partial(center_masks, image_size=16, size=size) for size in (2, 4, 6)]
    masks = mixed_masks(np.random.default_rng(0), 4000, drawers, [0.25, 0.625, 0.125])
    sides = np.sqrt(masks.sum(axis=(1, 2, 3)))
    shares = [(sides == side).mean() for side in (2, 4, 6)]
    assert shares == pytest.approx([0.25, 0.625, 0.125], abs=0.02)
    assert np.abs(np.corrcoef(sides[1:], sides[:-1])[0, 1]) < 0.05
    assert mixed_masks(np.random.default_rng(0), 1, drawers, [0.25, 0.625, 0.125]).shape == (1, 1, 16, 16)


def test_a_list_of_one_kind_draws_what_the_kind_draws_by_itself() -> None:
    box = BoxMasks(name="box", size_range=[4, 8], margin=1, num_boxes=[1, 3])
    alone, listed = np.random.default_rng(7), np.random.default_rng(7)
    masks, window, _ = MaskSampler([box.model_copy(update={"weight": 3.0})], 32, 16).sample(listed, 20)
    expected, around, _ = MaskSampler(box, 32, 16).sample(alone, 20)
    assert np.array_equal(masks, expected)
    assert np.array_equal(window, around)
    assert alone.bit_generator.state == listed.bit_generator.state


def test_windows_around_holes_larger_than_them_are_in_the_middle_of_the_hole() -> None:
    masks, window, _ = MaskSampler(HalfMasks(name="half"), 32, 8).sample(np.random.default_rng(0), 20)
    boxes = bounding_boxes(masks)
    assert np.array_equal(window + 4, boxes[:, :2] + boxes[:, 2:] // 2)
