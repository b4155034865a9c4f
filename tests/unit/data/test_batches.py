"""A batch is a pure function of (seed, stage, step)."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from glcic.data.batches import Batch, TrainingBatches, loader, validation_batches
from glcic.data.packed import PackedImages
from glcic.errors import UserError
from glcic.masks.files import folder_digest
from glcic.masks.geometry import bounding_boxes
from glcic.params import (
    Augmentation,
    BorderMasks,
    BoxMasks,
    CenterMask,
    FileMasks,
    HalfMasks,
    MaskParams,
    StrokeMasks,
)
from support.project import Project

MASKS = BoxMasks(name="box", size_range=[3, 8], margin=1, num_boxes=[1, 1])
PLAIN = Augmentation(flip=0.0, crop=[1.0, 1.0], brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
ALWAYS, SOMETIMES = PLAIN.model_copy(update={"flip": 1.0}), PLAIN.model_copy(update={"flip": 0.5})
FIELDS = ("image", "mask", "window", "real_window")


@pytest.fixture(scope="module")
def packed(cropped: Project) -> PackedImages:
    return PackedImages(cropped.folder / "data" / "images", "train")


def batches(packed: PackedImages, **changes: Any) -> TrainingBatches:
    arguments: dict[str, Any] = {
        "seed": 0,
        "stage": "pretrain_generator",
        "batch_size": 4,
        "masks": MASKS,
        "augmentation": SOMETIMES,
        "local_window": 8,
    }
    return TrainingBatches(packed, **(arguments | changes))


def same(a: Batch, b: Batch) -> bool:
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in FIELDS)


def test_batches_are_the_same_whenever_and_by_whomever_they_are_asked_for(packed: PackedImages) -> None:
    alone = batches(packed)[7]
    assert same(alone, batches(packed)[7])
    assert same(alone, list(loader(batches(packed), range(5, 9), 0, False))[2])
    with_workers = list(loader(batches(packed), range(5, 9), 1, False))
    assert len(with_workers) == 4
    assert same(alone, with_workers[2])


@pytest.mark.parametrize("change", [{"seed": 1}, {"stage": "train_joint"}])
def test_seed_and_stage_matter(packed: PackedImages, change: dict[str, Any]) -> None:
    assert not same(batches(packed)[7], batches(packed, **change)[7])
    assert not same(batches(packed)[7], batches(packed)[8])


def test_ranks_share_one_global_batch(packed: PackedImages) -> None:
    whole = batches(packed)[3]
    ranks = [batches(packed, rank=rank, world_size=2)[3] for rank in range(2)]
    for name in FIELDS:
        assert torch.equal(torch.stack([getattr(r, name) for r in ranks], dim=1).flatten(0, 1), getattr(whole, name))


def test_holes_and_windows_are_inside(packed: PackedImages) -> None:
    for step in range(50):
        batch = batches(packed)[step]
        corner, extent = torch.from_numpy(bounding_boxes(batch.mask.numpy())).split(2, dim=1)
        assert corner.min() >= 1
        assert (corner + extent).max() <= 15
        for window in (batch.window, batch.real_window):
            assert window.min() >= 0
            assert window.max() <= 8
        assert (batch.window <= corner).all()
        assert (batch.window + 8 >= corner + extent).all()


def test_images_are_of_the_split_and_flips_mirror_them(packed: PackedImages) -> None:
    plain = packed.read(np.arange(len(packed)))
    originals = {image.tobytes() for image in plain}
    mirrored = {np.ascontiguousarray(image[..., ::-1]).tobytes() for image in plain}
    never, always = batches(packed, augmentation=PLAIN), batches(packed, augmentation=ALWAYS)
    for step in range(5):
        assert {image.numpy().tobytes() for image in never[step].image} <= originals
        assert {image.contiguous().numpy().tobytes() for image in always[step].image} <= mirrored
        assert len({image.numpy().tobytes() for image in never[step].image}) == 4  # no image twice in a batch


@pytest.mark.parametrize(
    ("masks", "areas"),
    [
        (CenterMask(name="center", size=6), (36, 36)),
        (StrokeMasks(name="strokes", area_ratio=[0.1, 0.3]), (26, 77)),
        (BoxMasks(name="box", size_range=[4, 4], margin=1, num_boxes=[2, 3]), (16, 48)),
        (BorderMasks(name="border", size_range=[4, 5]), (16, 25)),
        (HalfMasks(name="half"), (128, 128)),
        ([HalfMasks(name="half", weight=1), CenterMask(name="center", size=6, weight=1)], (36, 128)),
    ],
)
def test_the_section_says_which_masks_are_drawn(
    packed: PackedImages, masks: MaskParams, areas: tuple[int, int]
) -> None:
    batch = batches(packed, masks=masks)[3]
    assert batch.mask.shape == (4, 1, 16, 16)
    assert batch.mask.dtype == torch.uint8
    found = batch.mask.sum(dim=(1, 2, 3))
    assert areas[0] <= found.min() <= found.max() <= areas[1]
    assert same(batch, batches(packed, masks=masks)[3])


def test_mask_files_are_those_of_the_digest_or_refused_with_theirs(packed: PackedImages, tmp_path: Path) -> None:
    white = np.zeros((16, 16), dtype=np.uint8)
    white[2:7, 3:9] = 255
    Image.fromarray(white).save(tmp_path / "mask.png")
    digest = folder_digest(tmp_path)
    masks = FileMasks(name="files", folder=str(tmp_path), sha256=digest)
    assert torch.equal(batches(packed, masks=masks)[0].mask, torch.from_numpy(white // 255).expand(4, 1, 16, 16))
    with pytest.raises(UserError, match=rf"masks\.sha256.*{digest}"):
        batches(packed, masks=masks.model_copy(update={"sha256": "0" * 64}))


def test_a_windows_size_that_is_the_images_is_the_whole_image(packed: PackedImages) -> None:
    """Discriminators without a local window get this one; it must not fail, nor shift the hole."""
    batch = batches(packed, local_window=16)[3]
    assert not batch.window.any()
    assert not batch.real_window.any()
    assert torch.equal(batch.mask, batches(packed)[3].mask)


def test_parts_of_a_batch_make_up_the_batch(packed: PackedImages) -> None:
    batch = batches(packed)[3]
    parts = batch.split(2)
    assert [len(part.image) for part in parts] == [2, 2]
    assert same(Batch(*(torch.cat([getattr(part, name) for part in parts]) for name in FIELDS)), batch)
    assert same(batch.first(2), parts[0])


def test_a_batch_larger_than_the_split_is_refused(packed: PackedImages) -> None:
    with pytest.raises(UserError, match=r"pretrain_generator\.batch_size: 13 .* 12 training images"):
        batches(packed, batch_size=13)


def test_validation_is_fixed_and_never_flipped(cropped: Project) -> None:
    val = PackedImages(cropped.folder / "data" / "images", "val")
    first, again = (
        validation_batches(val, seed=0, num_images=9, batch_size=3, masks=MASKS, local_window=8) for _ in range(2)
    )
    assert all(same(a, b) for a, b in zip(first, again, strict=True))
    assert torch.equal(torch.cat([batch.image for batch in first]), torch.from_numpy(val.read(np.arange(4))))
