"""Somebody else's system is given the test images without their holes, and scored with the same masks."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from glcic.data.packed import PackedImages
from glcic.errors import UserError
from glcic.evaluation.mask_sets import draw, manifest
from glcic.evaluation.tables import read_methods
from glcic.experiments.score import check_manifest, completions, export, export_test_set, score_system
from support.pictures import png16
from support.project import Project


@pytest.fixture
def packed(cropped: Project) -> PackedImages:
    return PackedImages(cropped.folder / "data" / "images", "test")


def test_export_shows_no_pixel_of_the_hole_and_completions_come_back(packed: PackedImages, tmp_path: Path) -> None:
    mask_set = draw("box", 0, len(packed), packed.image_size)
    export(tmp_path / "given", packed, mask_set)
    truth = packed.read(np.arange(len(packed)))
    for item, mask in enumerate(mask_set.masks):
        shown = np.asarray(Image.open(tmp_path / "given" / "box" / "input" / f"{item:06d}.png")).transpose(2, 0, 1)
        hole = np.asarray(Image.open(tmp_path / "given" / "box" / "mask" / f"{item:06d}.png"))
        assert np.array_equal(hole, mask[0] * 255)
        assert (shown[:, mask[0] == 1] == 255).all()
        assert np.array_equal(shown[:, mask[0] == 0], truth[item][:, mask[0] == 0])
    (tmp_path / "back" / "box").mkdir(parents=True)
    for item, image in enumerate(np.clip(truth.astype(int) + 3, 0, 255).astype(np.uint8)):  # changed outside, too
        Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / "back" / "box" / f"{item:06d}.png")
    completed = completions(tmp_path / "back", packed, mask_set)
    outside = np.broadcast_to(mask_set.masks == 0, truth.shape)
    assert np.array_equal(completed[outside], truth[outside])
    assert np.array_equal(completed[~outside], np.clip(truth.astype(int) + 3, 0, 255)[~outside])
    # Of 16 bits, the same completions.
    for path in (tmp_path / "back" / "box").iterdir():
        path.write_bytes(png16(np.asarray(Image.open(path)).astype(np.uint16) * 257))
    assert np.array_equal(completions(tmp_path / "back", packed, mask_set), completed)


def test_bad_completions_are_named(packed: PackedImages, tmp_path: Path) -> None:
    mask_set = draw("center", 0, len(packed), packed.image_size)
    folder = tmp_path / "center"
    folder.mkdir()
    with pytest.raises(UserError, match=r"000000\.png: no such file; there must be one for each of the 4"):
        completions(tmp_path, packed, mask_set)
    Image.new("RGB", (5, 4)).save(folder / "000000.png")
    with pytest.raises(UserError, match="5×4 pixels, but the images are 16×16"):
        completions(tmp_path, packed, mask_set)
    (folder / "000000.png").write_text("no image")
    with pytest.raises(UserError, match="not an image"):
        completions(tmp_path, packed, mask_set)
    ours = manifest({"test": [mask_set]}, 0, "images")
    with pytest.raises(UserError, match=r"manifest\.csv: no such file; copy the one"):
        check_manifest(tmp_path, ours)
    ours.to_csv(tmp_path / "manifest.csv", index=False)
    check_manifest(tmp_path, ours)
    for text in ("", "split,mask_set\ntest,center\n", "a,b\n1,2\n"):
        (tmp_path / "manifest.csv").write_text(text)
        with pytest.raises(UserError, match="not the manifest that was exported"):
            check_manifest(tmp_path, ours)
    ours.assign(sha256="others").to_csv(tmp_path / "manifest.csv", index=False)
    with pytest.raises(UserError, match="other masks of mask set center"):
        check_manifest(tmp_path, ours)


def test_another_system_enters_the_table(finished: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = finished.copy(tmp_path / "copy")
    assert "wrote 4 images for each of center, box" in project.run("glcic", "export-test-set", "given")
    for mask_set in ("center", "box"):  # the system returns its input: a white hole
        (project.folder / "given" / mask_set / "input").rename(project.folder / "given" / f"{mask_set}-input")
        for path in (project.folder / "given" / f"{mask_set}-input").iterdir():
            path.rename(project.folder / "given" / mask_set / path.name)
    printed = project.run("glcic", "score", "given", "white")
    assert "| white " in printed
    assert "nan" not in printed
    for digest in pd.read_csv(project.folder / "given/manifest.csv")["sha256"]:
        assert f"SHA-256 of the masks: {digest}" in printed
    assert "PSNR: mean fill beats white" in printed
    table = read_methods((project.folder / "given/methods.csv").read_text())
    reported = read_methods((project.folder / "reports/methods.csv").read_text())
    assert list(table["box"]) == [*reported["box"], "white"]
    assert {method: table["box"][method] for method in reported["box"]} == reported["box"]
    monkeypatch.chdir(project.folder)
    with pytest.raises(UserError, match="given exists"):
        export_test_set(Path("given"))
    with pytest.raises(UserError, match="choose another name"):
        score_system(Path("given"), "telea")
