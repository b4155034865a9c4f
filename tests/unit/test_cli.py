"""The command `glcic`."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

from glcic import complete
from glcic.cli import app
from glcic.errors import UserError
from glcic.experiments.presets import preset_names, preset_table
from glcic.images.reader import decode
from glcic.networks.weights import save_weights
from support.networks import generator
from support.pictures import png16, rgb_profile
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
        (("photo.png", "white.png", "out.png"), "white.png: everything is white"),
        (("photo.png", "photo.png", "out.png"), "photo.png: 97.2 % of it is gray, as in a photo"),
        (("photo.png", "mask.png", "out.gif"), "out.gif: cannot be written as GIF"),
        (("photo.png", "mask.png", "out.nothing"), "out.nothing: unknown image format"),
    ],
)
def test_complete_names_what_is_wrong(photo: Project, arguments: tuple[str, ...], message: str) -> None:
    Image.fromarray(np.full((3, 4), 255, dtype=np.uint8)).save(photo.folder / "small.png")
    Image.fromarray(np.zeros((37, 50), dtype=np.uint8)).save(photo.folder / "black.png")
    Image.fromarray(np.full((37, 50), 255, dtype=np.uint8)).save(photo.folder / "white.png")
    printed = glcic(photo, "complete", *arguments, "--weights", "w.safetensors", expect=1)
    assert message in printed
    assert "Traceback" not in printed
    assert not (photo.folder / "out.png").exists()


@pytest.mark.parametrize(
    ("image", "mask", "output", "weights", "message"),
    [
        ("nowhere.png", "mask.png", "out.png", "w.safetensors", "nowhere.png: no such file"),
        ("photo.png", "nowhere.png", "out.png", "w.safetensors", "nowhere.png: no such file"),
        ("photo.png", "mask.png", "nowhere/out.png", "w.safetensors", "the folder nowhere does not exist"),
        ("photo.png", "mask.png", "out.png", "nowhere.safetensors", "nowhere.safetensors: no such file; train first"),
        ("photo.png", "mask.png", "out.png", "src", "src: a folder; name the weights file in it"),
        ("photo.png", "mask.png", "out.png", "params.yaml", "params.yaml is not a weights file of this project"),
    ],
)
def test_complete_refuses_a_wrong_path_before_torch_is_loaded(
    photo: Project, image: str, mask: str, output: str, weights: str, message: str
) -> None:
    code = """
import sys
from glcic.cli import main
try:
    main()
finally:
    assert not {"torch", "mlflow", "dvc", "pandas"} & set(sys.modules)
"""
    arguments = ["complete", image, mask, output, "--weights", weights]
    printed = photo.run(sys.executable, "-c", code, *arguments, expect=1)
    assert printed.startswith("error: ")
    assert printed.count("\n") == 1, printed
    assert message in printed


def test_complete_asks_whether_a_large_hole_is_meant(photo: Project) -> None:
    kept = np.asarray(Image.open(photo.folder / "mask.png")) == 0
    Image.fromarray(kept).save(photo.folder / "inverted.png")
    arguments = ("complete", "photo.png", "inverted.png", "out.png", "--weights", "w.safetensors")
    printed = glcic(photo, *arguments, expect=1)
    assert printed == (
        "error: inverted.png: covers 83.8 % of the photo; is the mask inverted? --invert, or --yes if it is meant\n"
    )
    glcic(photo, *arguments, "--invert")
    inverted = (photo.folder / "out.png").read_bytes()
    glcic(photo, "complete", "photo.png", "mask.png", "out.png", "--weights", "w.safetensors")
    assert (photo.folder / "out.png").read_bytes() == inverted
    glcic(photo, *arguments, "--yes")
    before, after = (np.asarray(Image.open(photo.folder / name)) for name in ("photo.png", "out.png"))
    assert np.array_equal(before[~kept], after[~kept])
    assert not np.array_equal(before[kept], after[kept])


def test_complete_says_what_it_cannot_keep(photo: Project) -> None:
    """The photo is deep, the mask is the alpha of a white layer, the output a JPEG."""
    pixels = np.asarray(Image.open(photo.folder / "photo.png"))
    hole = np.asarray(Image.open(photo.folder / "mask.png"))
    (photo.folder / "deep.png").write_bytes(png16(pixels.astype(np.uint16) * 257))
    Image.fromarray(np.dstack([np.full_like(hole, 255), hole])).save(photo.folder / "layer.png")
    options = ("--weights", "w.safetensors")
    printed = glcic(photo, "complete", "deep.png", "layer.png", "out.jpg", *options)
    assert printed.splitlines() == [
        "note: out.jpg: written without 16 bits a channel (8 are written)",
        "wrote out.jpg",
    ]
    assert glcic(photo, "complete", "deep.png", "layer.png", "out.png", *options) == "wrote out.png\n"
    outside = hole == 0
    deep = decode((photo.folder / "out.png").read_bytes()).deep
    assert deep is not None
    assert np.array_equal(deep[outside], pixels[outside] * np.uint16(257))
    few = Image.fromarray(pixels).quantize(16)
    few.save(photo.folder / "few.png")
    few.save(photo.folder / "clear.gif", transparency=3)
    for name in ("few.png", "clear.gif"):
        printed = glcic(photo, "complete", name, "mask.png", "out.gif", *options)
        assert "the hole has only the colors of the photo's palette" in printed
        before, after = (np.asarray(Image.open(photo.folder / file).convert("RGBA")) for file in (name, "out.gif"))
        assert np.array_equal(after[outside], before[outside]), name
    (photo.folder / "folder.png").mkdir()
    printed = glcic(photo, "complete", "few.png", "mask.png", "folder.png", *options, expect=1)
    assert "folder.png: a folder; name a file" in printed


def test_preset_lists_applies_and_refuses(project: Project) -> None:
    table = glcic(project, "presets").splitlines()
    assert [line.split()[0] for line in table[1:]] == preset_names(ROOT / "presets")
    paper = next(line for line in table if line.startswith("paper "))
    assert "6,072,131 / 12.7" in paper
    assert "39,557,121 / " in paper
    assert "download.source: synthetic → celeba" in glcic(project, "preset", "celeba-small")
    assert "preset: celeba-small" in (project.folder / "params.yaml").read_text()
    printed = glcic(project, "preset", "nonsense", expect=1)
    assert "error: preset nonsense" in printed
    assert "Traceback" not in printed


def commands() -> dict[str, Any]:
    command: Any = typer.main.get_command(app)
    return dict(command.commands)


def test_every_command_has_a_help_with_an_example_of_itself() -> None:
    for name in commands():
        printed = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"}).output
        example = re.search(r"Example: (glcic .*?) *│?$", printed, re.MULTILINE)
        assert example, name
        assert example[1].split()[1] == name


def test_examples_of_help_have_arguments_that_the_command_takes() -> None:
    for name, command in commands().items():
        example = next(line for line in command.help.splitlines() if line.startswith("Example: "))
        command.make_context(name, shlex.split(example)[3:])  # raises for what the command does not know


WRITTEN = ("README.md", "CONTRIBUTING.md", "docs/*.md", "Makefile", "*.yaml", "presets/*.yaml", "src/glcic/**/*.py")
COMMAND = re.compile(r"\b(?<!shtamura/)glcic ((?!import\b|of\b)[a-z][a-z-]*)")


def test_no_text_names_a_command_that_does_not_exist() -> None:
    for pattern in WRITTEN:
        for path in ROOT.glob(pattern):
            named = set(COMMAND.findall(path.read_text(encoding="utf-8")))
            assert named <= commands().keys(), path


def test_every_command_is_documented() -> None:
    named = set(COMMAND.findall((ROOT / "README.md").read_text(encoding="utf-8")))
    assert commands().keys() <= named


def test_the_library_is_imported_when_it_is_asked_for() -> None:
    code = """
import sys, glcic
assert not {"torch", "numpy"} & set(sys.modules)
from glcic.cli import app
assert not {"torch", "mlflow", "dvc", "pandas", "pydantic"} & set(sys.modules)
from glcic import Completer, complete
assert Completer.__module__ == "glcic.inference.completer"
assert not hasattr(glcic, "nothing")
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_error_is_one_line_and_status_1(project: Project) -> None:
    printed = glcic(project, "results", expect=1)
    assert printed.splitlines() == ["error: reports/methods.csv: no such file; run `dvc repro` first"]
    (project.folder / "params.yaml").unlink()
    for name in ("sync", "champion"):
        assert glcic(project, name, expect=1).startswith(
            "error: params.yaml: no such file; run from the project's root"
        )


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("results", "params.yaml"), "params.yaml/methods.csv"),
        (("preset", "tiny", "--params", "reports"), "reports"),
        (("preset", "tiny", "--params", "nowhere/params.yaml"), "nowhere"),
        (("preset", "../presets/tiny"), "preset ../presets/tiny"),
        (("compare", "presets"), "presets"),
    ],
)
def test_a_path_that_is_none_is_named_in_one_line(project: Project, arguments: tuple[str, ...], names: str) -> None:
    (project.folder / "reports").mkdir(exist_ok=True)
    before = (project.folder / "params.yaml").read_bytes()
    printed = glcic(project, *arguments, expect=1)
    assert printed.startswith("error: ")
    assert printed.count("\n") == 1, printed
    assert names in printed
    assert (project.folder / "params.yaml").read_bytes() == before


def test_presets_outside_of_a_project_are_missed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run from the project's root"):
        preset_table(tmp_path)


def test_complete_takes_pictures_in_memory(photo: Project) -> None:
    image, mask = (Image.open(photo.folder / name) for name in ("photo.png", "mask.png"))
    completed = complete(image, mask, photo.folder / "w.safetensors")
    glcic(photo, "complete", "photo.png", "mask.png", "out.png", "--weights", "w.safetensors")
    assert np.array_equal(np.asarray(completed), np.asarray(Image.open(photo.folder / "out.png")))
    with pytest.raises(ValueError, match="the mask has"):
        complete(image, mask.resize((4, 3)), photo.folder / "w.safetensors")


def test_a_picture_in_memory_keeps_its_mode_and_metadata(photo: Project) -> None:
    weights = photo.folder / "w.safetensors"
    mask, pixels = Image.open(photo.folder / "mask.png"), np.asarray(Image.open(photo.folder / "photo.png"))
    hole = np.asarray(mask) == 255
    image = Image.fromarray(np.dstack([pixels, pixels[..., 0]]))
    exif = Image.Exif()
    exif[0x0110] = "a camera"
    image.info = {"icc_profile": rgb_profile(), "exif": exif.tobytes()}
    completed = complete(image, mask, weights)
    assert completed.mode == "RGBA"
    assert completed.info["icc_profile"] == rgb_profile()
    assert completed.getexif()[0x0110] == "a camera"
    found = np.asarray(completed)
    assert np.array_equal(found[~hole], np.asarray(image)[~hole])
    assert (found[hole, 3] == 255).all()
    for values in (np.uint8(1) * hole, hole):
        again = complete(image, Image.fromarray(values), weights)
        assert np.array_equal(np.asarray(again), found)


def test_masks_in_memory_follow_the_rules(photo: Project) -> None:
    weights = photo.folder / "w.safetensors"
    image, mask = (Image.open(photo.folder / name) for name in ("photo.png", "mask.png"))
    inverted = Image.fromarray(255 - np.asarray(mask))
    with pytest.raises(ValueError, match=r"covers 83\.8 % of the image.* allow_large=True if it is meant"):
        complete(image, inverted, weights)
    assert complete(image, inverted, weights, allow_large=True).size == image.size
    for wrong, complaint in ((Image.new("L", image.size), "nothing"), (image, "as in a photo")):
        with pytest.raises(ValueError, match=complaint):
            complete(image, wrong, weights, allow_large=True)


def test_a_picture_in_memory_is_turned_as_its_exif_data_say(photo: Project) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side: a viewer shows it 37 wide, 50 high
    with Image.open(photo.folder / "photo.png") as picture:
        picture.save(photo.folder / "turned.png", exif=exif)
    turned, weights = Image.open(photo.folder / "turned.png"), photo.folder / "w.safetensors"
    mask = Image.open(photo.folder / "mask.png").transpose(Image.Transpose.ROTATE_270)
    assert (turned.size, mask.size) == ((50, 37), (37, 50))
    upright = Image.open(photo.folder / "photo.png").transpose(Image.Transpose.ROTATE_270)
    assert np.array_equal(np.asarray(complete(turned, mask, weights)), np.asarray(complete(upright, mask, weights)))


@pytest.mark.parametrize("module", ["glcic.cli", "pipeline.train_joint", "pipeline.evaluate"])
def test_threads_are_told_to_give_way_before_torch_is_there(module: str) -> None:
    """Torch's threads read it once, when it is imported; who has set a value keeps it."""
    code = f"""
import os, sys
class Watch:
    def find_spec(self, name, *others):
        if name == "torch":
            print("before torch:", os.environ.get("GOMP_SPINCOUNT"))
sys.meta_path.insert(0, Watch())
import {module}
import torch
"""
    for given, expected in ((None, "10000"), ("77", "77")):
        environment = {k: v for k, v in os.environ.items() if k != "GOMP_SPINCOUNT"}
        environment |= {"GOMP_SPINCOUNT": given} if given else {}
        printed = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        ).stdout
        assert printed == f"before torch: {expected}\n"
