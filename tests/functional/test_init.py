"""A training that starts from given weights, on a mixture of masks: resumed exactly, at another size, and scored."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from safetensors.numpy import load_file

from glcic.files import sha256_of
from support.project import Project

STAGE = "pretrain_generator"
MIXED = [
    {"weight": 0.5, "name": "box", "size_range": [6, 8], "margin": 0, "num_boxes": [1, 1]},
    {"weight": 0.3, "name": "strokes", "area_ratio": [0.05, 0.5]},
    {"weight": 0.2, "name": "half"},
]
OUTPUTS = (f"models/{STAGE}/*.safetensors", f"reports/curves/{STAGE}.csv", f"reports/samples/{STAGE}.png")


@pytest.fixture
def started(finished: Project, tmp_path: Path) -> Project:
    """A project whose generator was trained; a copy of its weights is named as the start of another training."""
    project = finished.copy(tmp_path / "project")
    weights = project.folder / "first.safetensors"
    shutil.copy(project.folder / f"models/{STAGE}/generator_last.safetensors", weights)
    project.set({"seed": 1, "masks": MIXED, STAGE: {"init": given(weights)}})
    return project


def given(weights: Path) -> dict[str, Any]:
    return {"path": weights.name, "sha256": sha256_of(weights)}


def test_an_interrupted_training_from_weights_ends_as_an_uninterrupted_one(started: Project, tmp_path: Path) -> None:
    """Other weights would end otherwise: those of the seed do."""
    started.set({STAGE: {"lr_schedule": "constant"}})
    whole, random = started.copy(tmp_path / "whole"), started.copy(tmp_path / "random")
    started.set({STAGE: {"steps": 4}})
    started.stage(STAGE)
    moved = started.folder / "moved.safetensors"
    (started.folder / "first.safetensors").rename(moved)
    started.set({STAGE: {"steps": 6, "init": given(moved)}})
    assert "goes on from the finished training of 4 steps" in started.stage(STAGE)
    whole.stage(STAGE)
    assert started.bytes_of(*OUTPUTS) == whole.bytes_of(*OUTPUTS)
    moved.unlink()
    started.set({STAGE: {"steps": 8}})
    assert "put it back" in started.stage(STAGE, expect=None)
    random.set({STAGE: {"init": None}})
    random.stage(STAGE)
    assert random.bytes_of(*OUTPUTS) != whole.bytes_of(*OUTPUTS)


def test_without_steps_the_given_weights_are_what_later_stages_start_from(started: Project) -> None:
    """And they are scored as `pretrained`, at another size."""
    started.set({"crop": {"image_size": 24}, STAGE: {"steps": 0}})
    started.repro()
    first = load_file(started.folder / "first.safetensors")
    for name in ("last", "best"):
        weights = load_file(started.folder / f"models/{STAGE}/generator_{name}.safetensors")
        assert weights.keys() == first.keys()
        assert all((weights[key] == first[key]).all() for key in first)
    assert "pretrained" in set(pd.read_csv(started.folder / "reports/methods.csv")["method"])
    card = (started.folder / "models/model_card.md").read_text()
    assert "50 % `box` (size_range [6, 8], margin 0, num_boxes [1, 1]); 30 % `strokes`" in card
    trained = json.loads((started.folder / f"models/{STAGE}/params.json").read_text())
    assert trained["masks"] == MIXED
    assert trained[STAGE]["init"]["path"] == "first.safetensors"


def test_another_file_in_its_place_stops_the_pipeline(started: Project) -> None:
    weights = started.folder / "first.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")
    for command in (["glcic", "check-sources"], ["dvc", "repro", STAGE]):
        printed = started.run(*command, expect=None)
        assert f"set that to {sha256_of(weights)}" in printed
        assert "Traceback" not in printed
