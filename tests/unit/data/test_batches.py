"""A batch is a pure function of (seed, stage, step)."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from glcic.data.batches import Batch, TrainingBatches, loader, validation_batches
from glcic.data.faces import Faces
from glcic.errors import UserError
from glcic.masks.files import folder_digest
from glcic.masks.geometry import bounding_boxes
from glcic.params import Augmentation, BoxHoles, CenterHole, FileHoles, Holes, StrokeHoles
from support.project import Project

HOLES = BoxHoles(name="box", sides=[3, 8], border=1, number=[1, 1])
PLAIN = Augmentation(flip=0.0, crop=[1.0, 1.0], brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
ALWAYS, SOMETIMES = PLAIN.model_copy(update={"flip": 1.0}), PLAIN.model_copy(update={"flip": 0.5})
FIELDS = ("image", "mask", "window", "real_window")


@pytest.fixture(scope="module")
def faces(cropped: Project) -> Faces:
    return Faces(cropped.folder / "data" / "faces", "train")


def batches(faces: Faces, **changes: Any) -> TrainingBatches:
    arguments: dict[str, Any] = {
        "seed": 0,
        "stage": "pretrain_generator",
        "batch": 4,
        "holes": HOLES,
        "augmentation": SOMETIMES,
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
        corner, extent = torch.from_numpy(bounding_boxes(batch.mask.numpy())).split(2, dim=1)
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
    never, always = batches(faces, augmentation=PLAIN), batches(faces, augmentation=ALWAYS)
    for step in range(5):
        assert {image.numpy().tobytes() for image in never[step].image} <= originals
        assert {image.contiguous().numpy().tobytes() for image in always[step].image} <= mirrored
        assert len({image.numpy().tobytes() for image in never[step].image}) == 4  # no image twice in a batch


@pytest.mark.parametrize(
    ("holes", "areas"),
    [
        (CenterHole(name="center", side=6), (36, 36)),
        (StrokeHoles(name="strokes", ratio=[0.1, 0.3]), (26, 77)),
        (BoxHoles(name="box", sides=[4, 4], border=1, number=[2, 3]), (16, 48)),
    ],
)
def test_the_section_says_which_holes_are_drawn(faces: Faces, holes: Holes, areas: tuple[int, int]) -> None:
    batch = batches(faces, holes=holes)[3]
    assert batch.mask.shape == (4, 1, 16, 16)
    assert batch.mask.dtype == torch.uint8
    found = batch.mask.sum(dim=(1, 2, 3))
    assert areas[0] <= found.min() <= found.max() <= areas[1]
    assert same(batch, batches(faces, holes=holes)[3])


def test_mask_files_are_those_of_the_digest_or_refused_with_theirs(faces: Faces, tmp_path: Path) -> None:
    white = np.zeros((16, 16), dtype=np.uint8)
    white[2:7, 3:9] = 255
    Image.fromarray(white).save(tmp_path / "mask.png")
    digest = folder_digest(tmp_path)
    holes = FileHoles(name="files", folder=str(tmp_path), sha256=digest)
    assert torch.equal(batches(faces, holes=holes)[0].mask, torch.from_numpy(white // 255).expand(4, 1, 16, 16))
    with pytest.raises(UserError, match=rf"holes\.sha256.*{digest}"):
        batches(faces, holes=holes.model_copy(update={"sha256": "0" * 64}))


def test_a_windows_size_that_is_the_images_is_the_whole_image(faces: Faces) -> None:
    """Discriminators without a local window get this one; it must not fail, nor shift the hole."""
    batch = batches(faces, local_window=16)[3]
    assert not batch.window.any()
    assert not batch.real_window.any()
    assert torch.equal(batch.mask, batches(faces)[3].mask)


def test_parts_of_a_batch_make_up_the_batch(faces: Faces) -> None:
    batch = batches(faces)[3]
    parts = batch.split(2)
    assert [len(part.image) for part in parts] == [2, 2]
    assert same(Batch(*(torch.cat([getattr(part, name) for part in parts]) for name in FIELDS)), batch)
    assert same(batch.first(2), parts[0])


def test_a_batch_larger_than_the_split_is_refused(faces: Faces) -> None:
    with pytest.raises(UserError, match=r"pretrain_generator\.batch: 13 .* 12 training images"):
        batches(faces, batch=13)


def test_validation_is_fixed_and_never_flipped(cropped: Project) -> None:
    val = Faces(cropped.folder / "data" / "faces", "val")
    first, again = (validation_batches(val, seed=0, images=9, batch=3, holes=HOLES, local_window=8) for _ in range(2))
    assert all(same(a, b) for a, b in zip(first, again, strict=True))
    assert torch.equal(torch.cat([batch.image for batch in first]), torch.from_numpy(val.read(np.arange(4))))
