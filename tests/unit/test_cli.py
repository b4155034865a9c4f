"""The command `glcic`."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image

from glcic.experiments.presets import preset_names
from glcic.networks.weights import save_weights
from support.networks import generator
from support.project import ABOUT, ROOT, Project


@pytest.fixture
def photo(project: Project) -> Project:
    """A project with weights, a photo and a mask."""
    torch.manual_seed(0)
    save_weights(project.folder / "w.safetensors", generator(0.0625).state_dict(), ABOUT)
    pixels = np.random.default_rng(0).integers(0, 256, (37, 50, 3), dtype=np.uint8)
    mask = np.zeros((37, 50), dtype=np.uint8)
    mask[5:20, 10:30] = 255
    Image.fromarray(pixels).save(project.folder / "photo.png")
    Image.fromarray(mask).save(project.folder / "mask.png")
    return project


def glcic(project: Project, *arguments: str, expect: int = 0) -> str:
    return project.run(sys.executable, "-m", "glcic.cli", *arguments, expect=expect)


def test_complete_changes_the_hole_only(photo: Project) -> None:
    printed = glcic(photo, "complete", "photo.png", "mask.png", "out.png", "--weights", "w.safetensors")
    assert printed.splitlines() == ["wrote out.png"]  # no warning either
    before, after = (np.asarray(Image.open(photo.folder / name)) for name in ("photo.png", "out.png"))
    hole = np.asarray(Image.open(photo.folder / "mask.png")) == 255
    assert np.array_equal(before[~hole], after[~hole])
    assert not np.array_equal(before[hole], after[hole])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("missing.png", "mask.png", "out.png"), "missing.png: no such file"),
        (("params.yaml", "mask.png", "out.png"), "params.yaml: not an image"),
        (("photo.png", "small.png", "out.png"), "small.png: 4×3 pixels, but photo.png has 50×37"),
        (("photo.png", "black.png", "out.png"), "black.png: nothing is white"),
        (("photo.png", "mask.png", "out.nothing"), "out.nothing: unknown image format"),
    ],
)
def test_complete_names_what_is_wrong(photo: Project, arguments: tuple[str, ...], message: str) -> None:
    Image.fromarray(np.full((3, 4), 255, dtype=np.uint8)).save(photo.folder / "small.png")
    Image.fromarray(np.zeros((37, 50), dtype=np.uint8)).save(photo.folder / "black.png")
    printed = glcic(photo, "complete", *arguments, "--weights", "w.safetensors", expect=1)
    assert message in printed
    assert "Traceback" not in printed
    assert not (photo.folder / "out.png").exists()


def test_preset_lists_applies_and_refuses(project: Project) -> None:
    table = glcic(project, "preset").splitlines()
    assert [line.split()[0] for line in table[1:]] == preset_names(ROOT / "presets")
    paper = next(line for line in table if line.startswith("paper "))
    assert "6,072,131 / 12.7" in paper
    assert "39,557,121 / " in paper
    assert "download.source: synthetic → celeba" in glcic(project, "preset", "celeba-small")
    assert "preset: celeba-small" in (project.folder / "params.yaml").read_text()
    printed = glcic(project, "preset", "nonsense", expect=1)
    assert "error: preset nonsense" in printed
    assert "Traceback" not in printed
