"""A batch is a pure function of (seed, stage, step)."""

from typing import Any

import numpy as np
import pytest
import torch
from conftest import Project

from glcic.data.batches import Batch, TrainingBatches, loader, validation_batches
from glcic.data.faces import Faces
from glcic.errors import UserError
from glcic.params import Augmentation, Holes

HOLES = Holes(sides=[3, 8], border=1)
FIELDS = ("image", "hole", "window", "real_window")


@pytest.fixture(scope="module")
def faces(cropped: Project) -> Faces:
    return Faces(cropped.folder / "data" / "faces", "train")


def batches(faces: Faces, **changes: Any) -> TrainingBatches:
    arguments: dict[str, Any] = {
        "seed": 0,
        "stage": "pretrain_generator",
        "batch": 4,
        "holes": HOLES,
        "augmentation": Augmentation(flip=0.5),
        "local_window": 8,
    }
    return TrainingBatches(faces, **(arguments | changes))


def same(a: Batch, b: Batch) -> bool:
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in FIELDS)


def test_batches_are_the_same_whenever_and_by_whomever_they_are_asked_for(faces: Faces) -> None:
    alone = batches(faces)[7]
    assert same(alone, batches(faces)[7])
    assert same(alone, list(loader(batches(faces), range(5, 9), 0, False))[2])
    with_workers = list(loader(batches(faces), range(5, 9), 1, False))
    assert len(with_workers) == 4
    assert same(alone, with_workers[2])


@pytest.mark.parametrize("change", [{"seed": 1}, {"stage": "train_joint"}])
def test_seed_and_stage_matter(faces: Faces, change: dict[str, Any]) -> None:
    assert not same(batches(faces)[7], batches(faces, **change)[7])
    assert not same(batches(faces)[7], batches(faces)[8])


def test_ranks_share_one_global_batch(faces: Faces) -> None:
    whole = batches(faces)[3]
    ranks = [batches(faces, rank=rank, world_size=2)[3] for rank in range(2)]
    for name in FIELDS:
        assert torch.equal(torch.stack([getattr(r, name) for r in ranks], dim=1).flatten(0, 1), getattr(whole, name))


def test_holes_and_windows_are_inside(faces: Faces) -> None:
    for step in range(50):
        batch = batches(faces)[step]
        corner, extent = batch.hole[:, :2], batch.hole[:, 2:]
        assert corner.min() >= 1
        assert (corner + extent).max() <= 15
        for window in (batch.window, batch.real_window):
            assert window.min() >= 0
            assert window.max() <= 8
        assert (batch.window <= corner).all()
        assert (batch.window + 8 >= corner + extent).all()


def test_images_are_of_the_split_and_flips_mirror_them(faces: Faces) -> None:
    plain = faces.read(np.arange(len(faces)))
    originals = {image.tobytes() for image in plain}
    mirrored = {np.ascontiguousarray(image[..., ::-1]).tobytes() for image in plain}
    never, always = batches(faces, augmentation=Augmentation(flip=0)), batches(faces, augmentation=Augmentation(flip=1))
    for step in range(5):
        assert {image.numpy().tobytes() for image in never[step].image} <= originals
        assert {image.contiguous().numpy().tobytes() for image in always[step].image} <= mirrored
        assert len({image.numpy().tobytes() for image in never[step].image}) == 4  # no image twice in a batch


def test_a_batch_larger_than_the_split_is_refused(faces: Faces) -> None:
    with pytest.raises(UserError, match=r"pretrain_generator\.batch: 13 .* 12 training images"):
        batches(faces, batch=13)


def test_validation_is_fixed_and_never_flipped(cropped: Project) -> None:
    val = Faces(cropped.folder / "data" / "faces", "val")
    first, again = (validation_batches(val, seed=0, images=9, batch=3, holes=HOLES, local_window=8) for _ in range(2))
    assert all(same(a, b) for a, b in zip(first, again, strict=True))
    assert torch.equal(torch.cat([batch.image for batch in first]), torch.from_numpy(val.read(np.arange(4))))
