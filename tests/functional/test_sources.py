"""Images, split files and masks that change outside the project, by real commands of DVC and make."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from glcic.masks.files import folder_digest
from support.project import ROOT, Project

DIFFERENT = "error: {}: these are not the images that data/raw was made of (was "
TAKE = ("--force", "--single-item", "download")
MAKE = ("make", "--old-file", "setup", "repro")  # in this environment
PLAIN = {"download": {"source": "image_folder"}, "crop": {"center_crop": None}}


def photos(folder: Path, n: int, color: int) -> Path:
    """Put images of one color into a folder, each beginning with its number."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        pixels = np.full((20, 20, 3), color, dtype=np.uint8)
        pixels[0, 0] = i
        Image.fromarray(pixels).save(folder / f"{i:03}.png")
    return folder


def split(project: Project, train: int, val: int, test: int) -> None:
    rows = enumerate([0] * train + [1] * val + [2] * test)
    (project.folder / "split.txt").write_text("".join(f"{i:03}.png {number}\n" for i, number in rows))


def cropped(project: Project) -> tuple[int, dict[str, int]]:
    """Color of the cropped images, and how many of them there are in each split."""
    images = np.load(project.folder / "data/images/images.npy")
    counts = json.loads((project.folder / "data/images/summary.json").read_text())["num_images"]
    assert len(images) == sum(counts.values())
    return int(images[0, 0, 8, 8]), counts


def test_what_is_named_is_what_is_there_or_the_run_stops(tmp_path: Path) -> None:
    project = Project(tmp_path / "project", PLAIN)
    shutil.copy(ROOT / "Makefile", project.folder)
    (project.folder / "reports/metrics.json").write_text("{}")  # nothing to print yet
    first, second = photos(tmp_path / "setA", 30, 10), photos(tmp_path / "setB", 30, 200)
    project.repro("crop", GLCIC_IMAGES=str(first))
    assert "up to date" in project.repro("crop", GLCIC_IMAGES=str(second))  # as far as DVC knows
    assert cropped(project) == (10, {"train": 24, "val": 3, "test": 3})

    # Another folder, 20 files more and no folder at all: every way to go on stops at once, and says so in one line.
    photos(first, 50, 10)
    missing = tmp_path / "setC"
    for named, command in ((second, MAKE), (first, ("glcic", "check-sources")), (missing, MAKE)):
        said = DIFFERENT.format(named) if named.exists() else f"error: {named} does not exist: name a folder"
        printed = project.run(*command, expect=None, GLCIC_IMAGES=str(named))
        assert said in printed
        assert len([line for line in printed.splitlines() if line.startswith("error: ")]) == 1
        assert "up to date" not in printed
    project.set({"runtime": {"image_folder": str(second)}, "crop": {"image_size": 20}})
    assert DIFFERENT.format(second) in project.repro("crop", expect=None)  # a stage that DVC starts

    project.repro(*TAKE)
    project.repro("crop")
    assert cropped(project) == (200, {"train": 24, "val": 3, "test": 3})
    assert project.run("glcic", "check-sources") == ""


@pytest.mark.long
def test_neither_dvcs_run_cache_nor_an_edited_split_file_brings_back_other_images(tmp_path: Path) -> None:
    project = Project(tmp_path / "project", PLAIN)
    drawn, listed = {"train": 24, "val": 3, "test": 3}, {"train": 20, "val": 5, "test": 5}
    split(project, **listed)
    # The run cache comes to know both splits of setA; then the same two of setB.
    for name, color in (("setA", 10), ("setB", 200)):
        source = str(photos(tmp_path / name, 30, color))
        for split_file, counts in ((None, drawn), ("split.txt", listed)):
            project.set({"download": {"image_folder": {"split_file": split_file}}})
            project.repro("crop", GLCIC_IMAGES=source)
            assert cropped(project) == (color, counts)
    assert project.run("glcic", "check-sources", GLCIC_IMAGES=source) == ""
    split(project, 10, 5, 15)
    for environment in ({}, {"GLCIC_IMAGES": source}):
        printed = project.run("glcic", "check-sources", expect=1, **environment)
        assert "error: split.txt: this is not the split file that data/raw was made with (was " in printed
    project.repro(*TAKE, GLCIC_IMAGES=source)
    project.repro("crop")
    assert cropped(project) == (200, {"train": 10, "val": 5, "test": 15})
    for path in (project.folder / "dvc.lock", *(project.folder / "data").rglob("*")):
        assert path.is_dir() or b"setB" not in path.read_bytes()


@pytest.mark.long
def test_an_experiment_elsewhere_finds_what_is_named_relative_to_the_project(tmp_path: Path) -> None:
    """Images and masks that git ignores, and a split file of which git has the experiment's version."""
    project = Project(tmp_path / "project", PLAIN | {"runtime": {"image_folder": "data/mine"}})
    photos(project.folder / "data/mine", 20, 10)
    split(project, 12, 4, 4)
    masks = project.folder / "data/masks"
    masks.mkdir()
    hole = np.zeros((16, 16), dtype=np.uint8)
    hole[4:12, 4:12] = 255
    Image.fromarray(hole).save(masks / "1.png")
    given = {"folder": "data/masks", "sha256": folder_digest(masks)}
    yaml, params = YAML(typ="safe"), project.folder / "params.yaml"
    tree = yaml.load(params)
    tree["masks"] = {"name": "files", **given}
    tree["evaluate"] |= {"mask_sets": ["center", "files"], "mask_folder": given}
    tree["download"]["image_folder"]["split_file"] = "split.txt"
    yaml.dump(tree, params)
    (project.folder / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
    for name, value in {"user.name": "test", "user.email": "test@example.org"}.items():
        project.git("config", name, value)
    project.git("add", "-A")
    project.git("commit", "-qm", "mine")
    project.dvc("exp", "run", "--temp", "--name", "elsewhere")
    assert not (project.folder / "data/raw").exists()
    project.dvc("exp", "apply", "elsewhere")
    assert cropped(project) == (10, {"train": 12, "val": 4, "test": 4})
    assert ",files," in (project.folder / "reports/masks.csv").read_text()
    assert project.run("glcic", "check-sources") == ""
