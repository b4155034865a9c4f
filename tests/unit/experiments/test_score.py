"""Somebody else's system is given the test images without their holes, and scored with the same masks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from glcic.data.packed import PackedImages
from glcic.errors import UserError
from glcic.evaluation.mask_sets import draw, manifest
from glcic.evaluation.tables import read_methods
from glcic.experiments.score import check_manifest, completions, export, export_test_set, score_system, sets_in
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
        check_manifest(tmp_path, ours, ["center"])
    ours.to_csv(tmp_path / "manifest.csv", index=False)
    check_manifest(tmp_path, ours, ["center"])
    for text in ("", "split,mask_set\ntest,center\n", "a,b\n1,2\n"):
        (tmp_path / "manifest.csv").write_text(text)
        with pytest.raises(UserError, match="not the manifest that was exported"):
            check_manifest(tmp_path, ours, ["center"])
    ours.assign(sha256="others").to_csv(tmp_path / "manifest.csv", index=False)
    with pytest.raises(UserError, match="other masks of mask set center"):
        check_manifest(tmp_path, ours, ["center"])


@pytest.fixture
def ours() -> pd.DataFrame:
    """The manifest of two mask sets."""
    return manifest({"test": [draw("center", 0, 4, 16), draw("box", 0, 4, 16)]}, 0, "images")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda listed: listed[:0], "does not list mask set center, so nothing says which masks"),
        (lambda listed: listed[:1], "does not list mask set box"),
        (lambda listed: listed.replace("box", "boxx"), r"lists mask set boxx of split test.*\(is it box\?\)"),
        (lambda listed: listed.replace("test", "val"), "lists mask set center of split val"),
        (lambda listed: pd.concat([listed, listed[1:]]), "lists mask set box twice"),
        (lambda listed: pd.concat([listed, listed[:1].assign(mask_set="half")]), "lists mask set half .* not exported"),
        (lambda listed: listed.assign(mask_set=[None, "box"]), "lists mask set nan"),
    ],
)
def test_manifest_proves_the_masks_of_every_scored_set(
    ours: pd.DataFrame, tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], said: str
) -> None:
    change(ours).to_csv(tmp_path / "manifest.csv", index=False)
    with pytest.raises(UserError, match=f"manifest.csv: {said}.*copy the manifest") as refused:
        check_manifest(tmp_path, ours, ["center", "box"])
    assert "\n" not in str(refused.value)


def test_manifest_may_lack_what_is_not_scored(ours: pd.DataFrame, tmp_path: Path) -> None:
    ours[:1].to_csv(tmp_path / "manifest.csv", index=False)
    check_manifest(tmp_path, ours, ["center"])


@pytest.mark.parametrize(
    ("other", "file", "said"),
    [
        ("centers", "x.png", r"centers: not an exported mask set; they are center, box \(is it center\?\)"),
        ("Box", "000000.png", r"Box: .* \(is it box\?\)"),
        ("half", "x.png", "half: not an exported mask set"),  # a mask set, but not scored here
        ("results", "000003.png", "results: not an exported mask set"),
    ],
)
def test_folder_that_looks_like_a_mask_set_is_refused(tmp_path: Path, other: str, file: str, said: str) -> None:
    (tmp_path / "box").mkdir()
    (tmp_path / other).mkdir()
    (tmp_path / other / file).touch()
    with pytest.raises(UserError, match=f"{said}.*; rename the folder, or move it elsewhere"):
        sets_in(tmp_path, ["center", "box"])


def test_mask_sets_without_completions_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="has none of the folders center, box"):
        sets_in(tmp_path, ["center", "box"])
    for name in ("box", "notes"):
        (tmp_path / name).mkdir()
    assert sets_in(tmp_path, ["center", "box"]) == ["box"]
    assert capsys.readouterr().err == "note: scored: box; not there: center\n"
    (tmp_path / "center").mkdir()
    assert sets_in(tmp_path, ["center", "box"]) == ["center", "box"]
    assert capsys.readouterr().err == ""


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
    (project.folder / "given/box/000000.png").rename(project.folder / "given/box/first.png")
    for item in range(1, 4):
        (project.folder / f"given/box/{item:06d}.png").rename(project.folder / f"given/box/{item - 1:06d}.png")
    (project.folder / "given/box/first.png").rename(project.folder / "given/box/000003.png")
    printed = project.run("glcic", "score", "given", "white", expect=1)
    assert "given/box/000000.png: outside the hole it differs from test image 0" in printed
    assert "it fits test image 1 (0.0): are the files shifted by one?" in printed
    with (project.folder / "data/images/images.npy").open("r+b") as images:
        images.seek(-1, 2)
        images.write(b"\0" if images.read() != b"\0" else b"\1")
    assert "images.npy: damaged" in project.run("glcic", "score", "given", "white", expect=1)
    monkeypatch.chdir(project.folder)
    with pytest.raises(UserError, match="given exists"):
        export_test_set(Path("given"))
    with pytest.raises(UserError, match="choose another name"):
        score_system(Path("given"), "telea")
