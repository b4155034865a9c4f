"""What a comparison file says, and the report of its trained systems."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from glcic import tracking
from glcic.errors import UserError
from glcic.evaluation.definitions import METHODS, METRICS
from glcic.experiments import compare
from glcic.experiments.compare import TrainedRun, read_comparison, report, runs_of
from glcic.experiments.runs import Run
from glcic.params import Params
from support.project import ROOT, default_tree, merge


def write(path: Path, comparison: dict[str, Any]) -> None:
    YAML(typ="safe").dump(comparison, path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sistems": {}}, "sistems: there is no such parameter"),
        ({"systems": {"runs": {}}}, "systems.runs"),
        ({"systems": {"runs": {"a": {"preset": "nope"}}}}, "preset nope"),
        ({"systems": {"runs": {"a b": {"preset": "default"}}}}, "rename"),
        ({"systems": {"runs": {"a": {"preset": "default", "overlay": {"sed": 1}}}}}, "sed: there is no such parameter"),
        ({"systems": {"runs": {"a": {"preset": "default", "overlay": {"seed": -1}}}}}, "systems.runs.a: seed"),
        (
            {"systems": {"runs": {"a": {"preset": "default"}, "b": {"preset": "default", "overlay": {"seed": 1}}}}},
            "b and a differ in seed",
        ),
        (
            {
                "systems": {
                    "runs": {
                        "a": {"preset": "default"},
                        "b": {"preset": "default", "overlay": {"evaluate": {"mask_seed": 1}}},
                    }
                }
            },
            "b and a differ in evaluate.mask_seed",
        ),
    ],
)
def test_what_is_wrong_in_the_file_is_said_before_anything_runs(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    path = tmp_path / "comparison.yaml"
    write(path, {"systems": {"runs": {"a": {"preset": "default"}}}} | change)
    with pytest.raises(UserError, match=said):
        runs_of(read_comparison(path), path, ROOT / "presets", ROOT / "params.yaml")


def test_speed_is_read_from_the_run_that_recorded_it(tmp_path: Path) -> None:
    params = merge(default_tree(), {"tracking": {"enabled": True}})
    name = "train_joint/images_per_second"
    assert tracking.recorded(tmp_path, params, [name]) == {}
    assert not list(tmp_path.iterdir())  # nothing created
    run = tracking.open_run(tmp_path, params, stage="train_joint", step=0)
    assert run is not None
    run.log_point(1, {"images_per_second": 5.0})
    run.log_point(2, {"images_per_second": 7.0})
    assert tracking.recorded(tmp_path, params, [name, "train_joint/nothing"]) == {name: 7.0}
    assert tracking.recorded(tmp_path, params | {"seed": 99}, [name]) == {}
    assert tracking.recorded(tmp_path, params | {"tracking": {"enabled": False}}, [name]) == {}


def test_weights_that_are_gone_are_trained_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "git", lambda *_: "mask_set,method,psnr\ncenter,completion,20\n")
    monkeypatch.setattr(compare, "take_outputs", lambda *_: None)
    run = Run("ours", "", Params.model_validate(default_tree()))
    with pytest.raises(UserError, match=r"generator_last.* of experiment ours.*; run `dvc exp remove ours`"):
        compare._trained(run, "HEAD")


def test_report_ranks_the_runs_and_shows_every_classical_method() -> None:
    params = Params.model_validate(default_tree())

    def trained(name: str, psnr: float | None, methods: tuple[str, ...] = tuple(METHODS)) -> TrainedRun:
        scores = {**dict.fromkeys(METRICS, 1.0), "psnr": psnr}
        return TrainedRun(Run(name, "", params), {"center": {m: scores for m in methods}}, 1234, {"train_joint": 5.25})

    runs = [trained("a", 20.0), trained("b", None), trained("c", 30.0, ("completion", "telea"))]
    images = {"train": 3, "val": 2, "test": 1}
    text = report("About.", {"systems": runs}, images, "glcic compare x.yaml", {"center": "abc"})
    table = [line.split() for line in text.split("mask set center")[1].splitlines() if line.startswith("|")]
    assert [(line[1], line[3]) for line in table[2:7]] == [
        ("**c**", "train_joint"),  # `pretrained` was not scored: the phase was skipped
        ("**a**", "train_joint"),
        ("a", "pretrain_generator"),
        ("**b**", "train_joint"),
        ("b", "pretrain_generator"),
    ]
    assert "| **c** | train_joint        | 1,234      | 5.2      | 1.00      | 1.00 | 30.00   | 1.000 |" in text
    baselines = [line.split("|")[2].strip() for line in text.split("## Classical")[1].splitlines()[4:]]
    assert baselines == ["mean fill", "Telea", "Navier–Stokes", "biharmonic", "nearest training image"]
    assert "Made by `glcic compare x.yaml`." in text
    assert "of the test images" not in text
    limited = params.model_copy(update={"evaluate": params.evaluate.model_copy(update={"images": 7})})
    runs[0] = replace(runs[0], run=replace(runs[0].run, params=limited))
    for test, said in ((7, False), (8, True)):
        text = report("", {"systems": runs}, {**images, "test": test}, "", {})
        assert ("Telea, Navier–Stokes and biharmonic are scored on 7 of the test images" in text) == said


def test_its_import_is_cheap() -> None:
    heavy = "{'torch', 'pandas', 'dvc', 'mlflow', 'matplotlib'}"
    code = f"import glcic.experiments.compare, sys; assert not {heavy} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
