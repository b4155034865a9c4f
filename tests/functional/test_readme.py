"""The README's commands, as printed, in a project that comes from a ZIP."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from support.project import ROOT, TINY, Project, default_tree, merge
from support.unpacked import lent, unpacked

pytestmark = pytest.mark.long

# Not run here, and where instead.
ELSEWHERE = {
    "make test": "the tests themselves",
    "make ui": "tests/browser, which opens it, too",
    "GLCIC_CELEBA=/path/to/celeba make repro": "test_pipeline, on a zip in CelebA's layout",
}
MINUTES = "make setup && .venv/bin/glcic preset tiny && make repro"


def blocks(kind: str) -> list[str]:
    """The README's fenced blocks of a language, none for commands."""
    fenced = re.findall(r"(?ms)^```(\w*)\n(.*?)^```$", (ROOT / "README.md").read_text())
    return [text for language, text in fenced if language == kind]


def commands() -> list[str]:
    """The commands without their comments."""
    return [command for block in blocks("") for line in block.splitlines() if (command := line.split("  #")[0].strip())]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The project from a ZIP, its default and its presets as small as the tests' own, and a photo."""
    project = unpacked(tmp_path / "project")
    own = {key: value for key, value in TINY.items() if key not in ("preset", "tracking")}
    for path in ("params.yaml", "presets/default.yaml"):
        with (project.folder / path).open("w") as file:
            YAML(typ="safe").dump(merge(default_tree(), own), file)
    with (project.folder / "presets/tiny.yaml").open("w") as file:
        file.write("# Tiny.\n")
        YAML(typ="safe").dump({"seed": 1}, file)
    photo = np.random.default_rng(0).integers(0, 256, (60, 50, 3), dtype=np.uint8)
    Image.fromarray(photo).save(project.folder / "photo.jpg")
    return project


def test_the_readmes_commands_run_as_printed(project: Project) -> None:
    listed = commands()
    assert {"make repro", MINUTES, *ELSEWHERE} <= set(listed)
    environment = lent() | {"REQUIREMENTS": "one.lock", "MAKEFLAGS": "-e"}  # the lock of one package
    project.run("bash", "-c", "make setup", **environment)
    dvc = project.folder / ".venv/bin/dvc"  # packages that are lent come without their scripts
    dvc.write_text('#!/bin/sh\nexec "$(dirname "$0")/python" -m dvc "$@"\n')
    dvc.chmod(0o755)
    printed = {}
    completions = [command for command in listed if " complete " in command]
    assert len(completions) == 1
    for command in listed:
        if "celeba-small" in command:  # whose masks want the real defaults
            shutil.copy(ROOT / "presets/default.yaml", project.folder / "presets")
        if command not in (*ELSEWHERE, *completions):
            printed[command] = project.run("bash", "-c", command, **environment)
    assert "| center   | completion" in printed["make repro"]
    assert "is now preset tiny" in printed[MINUTES]
    assert "dvc_plots/index.html" in printed[".venv/bin/dvc plots show"]
    params = YAML(typ="safe").load(project.folder / "params.yaml")
    assert (params["preset"], params["download"]["celeba"]["allow_subset"]) == ("celeba-small", False)

    # The mask first, as Python makes it; then the command, and the same in Python.
    mask, complete = blocks("python")
    project.run(".venv/bin/python", "-c", mask, **environment)
    assert "wrote completed.png" in project.run(*shlex.split(completions[0]), **environment)
    (by_command,) = project.bytes_of("completed.png").values()
    project.run(".venv/bin/python", "-c", complete, **environment)
    assert project.bytes_of("completed.png") == {"completed.png": by_command}
    before, after, hole = (
        np.asarray(Image.open(project.folder / name)) for name in ("photo.jpg", "completed.png", "mask.png")
    )
    assert np.array_equal(before[hole == 0], after[hole == 0])
    assert not np.array_equal(before[hole > 0], after[hole > 0])
