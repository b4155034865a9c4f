"""A remote shares models and scores, never images; who has pulled them trains nothing."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from support.project import Project

IMAGES = ("data/raw", "data/images", "reports/gallery")
SHARED = (
    "models/pretrain_generator",
    "models/pretrain_discriminators",
    "models/train_joint",
    "models/model_card.md",
    "reports/masks.npz",
    "reports/scores.csv",
    "reports/looks.csv",
)


def hashes(project: Project, *outs: str) -> set[str]:
    """MD5s of outputs' files and, of those that are folders, of the lists of their files."""
    stages: dict[str, Any] = YAML(typ="safe").load(project.folder / "dvc.lock")["stages"]
    found = {out["md5"] for stage in stages.values() for out in stage["outs"] if out["path"] in outs}
    assert len(found) == len(outs)
    for md5 in [md5 for md5 in found if md5.endswith(".dir")]:
        listed = project.folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
        found |= {file["md5"] for file in json.loads(listed.read_text())}
    return found


def add_remote(project: Project, storage: Path) -> None:
    project.dvc("remote", "add", "--local", "--default", "storage", str(storage))


@pytest.mark.long
def test_push_and_pull(finished: Project, tmp_path: Path) -> None:
    project, storage = finished.copy(tmp_path / "project"), tmp_path / "storage"
    project.git("add", "-A")
    project.git("-c", "user.name=test", "-c", "user.email=test@example.org", "commit", "-qm", "finished")
    add_remote(project, storage)
    project.dvc("push", "--run-cache")  # as much as can be pushed
    pushed = {path.parent.name + path.name for path in (storage / "files").rglob("*") if path.is_file()}
    assert pushed == hashes(project, *SHARED)
    assert not pushed & hashes(project, *IMAGES)

    project.git("clone", "-q", ".", str(tmp_path / "clone"))
    clone = project.at(tmp_path / "clone")
    add_remote(clone, storage)
    clone.dvc("pull", "--allow-missing")
    shared = ("models/*/*", "models/*.md", "reports/scores.csv", "reports/looks.csv", "reports/masks.npz")
    assert clone.bytes_of(*shared) == project.bytes_of(*shared)
    assert not (clone.folder / "data/raw").exists()
    # Images are made again, and since they are the same there is nothing to train.
    assert re.findall("Running stage '(.*)'", clone.repro()) == ["download", "crop", "evaluate"]
    assert clone.run("git", "status", "--porcelain") == ""
    everything = ("data/*/*", *shared, "reports/*.*", "reports/*/*")
    assert clone.bytes_of(*everything) == project.bytes_of(*everything)
    assert "up to date" in clone.repro()
