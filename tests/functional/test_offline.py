"""tools/offline: what an offline machine receives trains there, and what comes back is what the pipeline reads."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from glcic.data.sources import celeba_layout as layout
from glcic.data.sources.celeba import PARTITION
from glcic.inference.completer import Completer
from support.project import ROOT, TINY, Project

pytestmark = pytest.mark.long
STAGES = ("download", "crop", "pretrain_generator", "pretrain_discriminators", "train_joint")


@pytest.fixture
def sender(cropped: Project, tmp_path: Path) -> tuple[Project, Path]:
    """A project with the tools, and a folder with a few images that are laid out as CelebA's."""
    project = Project(tmp_path / "sender", {})
    shutil.copytree(ROOT / "tools", project.folder / "tools")
    shutil.copy(ROOT / "requirements.lock", project.folder)
    tiny = {key: value for key, value in TINY.items() if key not in ("preset", "runtime", "tracking", "download")}
    with (project.folder / "presets/few.yaml").open("w") as file:
        YAML(typ="safe").dump({"download": {"source": "celeba"}, **tiny}, file)
    celeba = tmp_path / "celeba"
    celeba.mkdir()
    raw = cropped.folder / "data/raw"
    shutil.copy(raw / layout.IMAGES, celeba / "img_align_celeba.zip")
    shutil.copy(raw / layout.PARTITION, celeba)
    # The official partition file has an MD5 of its own, which that of a few drawn faces cannot have.
    source = project.folder / "src/glcic/data/sources/celeba.py"
    md5 = hashlib.md5((celeba / layout.PARTITION).read_bytes()).hexdigest()
    source.write_text(source.read_text().replace(PARTITION.md5, md5))
    return project, celeba


def test_pack_receive_train_and_results(sender: tuple[Project, Path], tmp_path: Path) -> None:
    project, celeba = sender
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    # The one step that needs a package index, as it does where the tools are used.
    pack = subprocess.run(
        ["tools/offline/pack.sh", str(celeba)],
        cwd=project.folder,
        env=os.environ | {"PYTHON_VERSION": version, "PATH": project.environment["PATH"]},
        capture_output=True,
        text=True,
    )
    assert pack.returncode == 0, pack.stderr
    assert "carry" not in subprocess.check_output(["git", "status", "--short"], cwd=project.folder, text=True)

    there = tmp_path / "there"
    shutil.copytree(project.folder, there, ignore=shutil.ignore_patterns(".git", ".dvc"))
    machine = project.at(there)
    home: dict[str, Any] = {"HOME": str(tmp_path / "home")}
    assert "piece.00" in machine.run("bash", ".carry/scripts/receive.sh", **home)
    machine.run("bash", ".carry/scripts/receive.sh", "few", **home)

    assert "no time left before download" in machine.run(
        "bash", ".carry/scripts/train.sh", *STAGES, expect=75, LIMIT="10", **home
    )
    machine.run("bash", ".carry/scripts/train.sh", *STAGES, STEPS="4 2 2", **home)
    assert "pretrain" not in machine.run("bash", ".carry/scripts/train.sh", *STAGES, STEPS="4 2 2", **home)
    machine.run("bash", ".carry/scripts/results.sh", "out", **home)

    back = tmp_path / "back"
    back.mkdir()
    parts = sorted((there / "out").glob("results.tar.gz.*"))
    (back / "results.tar.gz").write_bytes(b"".join(part.read_bytes() for part in parts))
    with tarfile.open(back / "results.tar.gz") as archive:
        archive.extractall(back, filter="data")
    params = YAML(typ="safe").load(back / "params.yaml")
    assert [params[stage]["steps"] for stage in STAGES[2:]] == [4, 2, 2]
    assert params["tracking"]["enabled"] is False
    assert json.loads((back / "data/images/summary.json").read_text())["num_images"] == {
        "train": 12,
        "val": 4,
        "test": 4,
    }
    assert Completer(back / "models/pretrain_generator/generator_best.safetensors").steps == 4
    assert Completer(back / "models/train_joint/generator_last.safetensors").steps == 2
    assert {path.name for path in (back / "reports/curves").iterdir()} == {f"{stage}.csv" for stage in STAGES[2:]}
    assert not list(back.rglob("discriminator_*"))
