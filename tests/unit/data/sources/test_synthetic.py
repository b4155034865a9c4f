"""The drawn faces: what they promise to the pipeline."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glcic.data.sources.synthetic import Pose, draw_face, draw_lots, render, write_synthetic
from glcic.errors import UserError

FRONTAL = Pose(roll=0.0, yaw=0.0, scale=1.0, shift=(0.0, 0.0))


def test_a_face_is_an_rgb_picture_of_celebas_size() -> None:
    face = draw_face(0, 0)
    assert face.shape == (218, 178, 3)
    assert face.dtype == np.uint8
    assert face.std() > 20


def test_a_face_depends_on_seed_and_index_alone() -> None:
    first = draw_face(3, 7)
    draw_face(3, 8)
    np.testing.assert_array_equal(first, draw_face(3, 7))
    assert np.abs(first.astype(int) - draw_face(3, 8)).mean() > 10
    assert np.abs(first.astype(int) - draw_face(4, 7)).mean() > 10


def test_attributes_stay_within_bounds() -> None:
    for seed in range(200):
        face = draw_lots(np.random.default_rng(seed))
        assert abs(face.pose.roll) <= np.radians(12)
        assert np.linalg.norm(face.light) == pytest.approx(1)
        assert 0 <= face.beard <= 1
        colors = [face.skin, face.iris, face.brow, face.lips, face.hair, face.clothes, *face.backdrop]
        assert 0 <= np.min(colors) <= np.max(colors) <= 255
        assert not (face.beard and face.hair_end > 0)  # beards come with short hair


@pytest.mark.parametrize("seed", range(3))
def test_left_and_right_agree(seed: int) -> None:
    """Seen from the front and lit from the middle, eyes and brows mirror each other at CelebA's places."""
    rng = np.random.default_rng(seed)
    face = replace(draw_lots(rng), pose=FRONTAL, light=(0.0, -0.6, 0.8), gaze=(0.0, 0.0))
    face = replace(face, style="short", hair_end=-14.0, parting=0.0)
    picture = render(face, rng).astype(float)
    left, right = picture[88:124, 50:88], picture[88:124, 91:129][:, ::-1]
    assert np.abs(left - right).mean() < 4  # the noise alone makes about 2.3
    assert left.std() > 15
    for x in (69, 109):
        assert picture[109:113, x - 2 : x + 3].mean() < picture[135:140, x - 2 : x + 3].mean() - 20


def test_a_data_set_has_celebas_layout(tmp_path: Path) -> None:
    write_synthetic(tmp_path, train=3, val=2, test=1, seed=5, processes=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images.zip", "list_eval_partition.txt"]
    lines = (tmp_path / "list_eval_partition.txt").read_text().splitlines()
    assert lines == [f"{number:06d}.jpg {split}" for number, split in enumerate((0, 0, 0, 1, 1, 2), start=1)]
    with zipfile.ZipFile(tmp_path / "images.zip") as archive:
        assert archive.namelist() == [f"img_align_celeba/{number:06d}.jpg" for number in range(1, 7)]
        for index, member in enumerate(archive.infolist()):
            assert member.compress_type == zipfile.ZIP_STORED
            with Image.open(io.BytesIO(archive.read(member))) as picture:
                assert picture.format == "JPEG"
                decoded = np.asarray(picture.convert("RGB"), float)
            assert np.abs(decoded - draw_face(5, index)).mean() < 3


def test_the_number_of_processes_does_not_show(tmp_path: Path) -> None:
    archives = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        folder.mkdir()
        write_synthetic(folder, train=18, val=1, test=1, seed=0, processes=processes)
        archives.append((folder / "images.zip").read_bytes())
    assert archives[0] == archives[1]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        write_synthetic(tmp_path / "nowhere", train=1, val=0, test=0, seed=0, processes=1)
