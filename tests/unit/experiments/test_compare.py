"""The comparison of systems: real DVC experiments in a real queue, on tiny settings."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from PIL import Image
from ruamel.yaml import YAML

from glcic import tracking
from glcic.errors import UserError
from glcic.experiments.compare import read_comparison, runs_of
from support.project import TINY, Project, default_tree, merge

BASE = {key: value for key, value in TINY.items() if key not in ("preset", "runtime", "tracking")}
COMMAND = (sys.executable, "-m", "pipeline.compare")


def write(path: Path, comparison: dict[str, Any]) -> None:
    YAML(typ="safe").dump(comparison, path)


def processes_in(folder: Path) -> list[str]:
    """Command lines of all processes that work in the folder or below."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            pass
    return found


@pytest.mark.long
def test_interrupted_comparison_goes_on_and_a_finished_one_trains_nothing(tmp_path: Path) -> None:
    project = Project(tmp_path / "project", {})
    long = {"steps": 300, "validate_every": 10, "checkpoint_every": 1000}
    base = {**BASE, "pretrain_generator": BASE["pretrain_generator"] | long}
    second = {"preset": "default", "overlay": {"evaluate": {"figure_rows": 1}}}  # one stage of its own
    systems = {"plain": {"preset": "default"}, "second": second}
    write(
        project.folder / "comparison.yaml",
        {"systems": {"base": base, "runs": systems}, "ablation": {"base": base, "runs": {"second": second}}},
    )
    (project.folder / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
    for name, value in {"user.name": "test", "user.email": "test@example.org"}.items():
        project.git("config", name, value)
    project.git("add", "-A")
    project.git("commit", "-qm", "comparison")
    params = (project.folder / "params.yaml").read_bytes()

    process = project.start(*COMMAND)
    deadline = time.monotonic() + 120
    curves = ".dvc/tmp/exps/*/reports/curves/pretrain_generator.csv"
    while not list(project.folder.glob(curves)):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGTERM)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 130, printed
    assert "goes on where it was" in printed
    assert processes_in(project.folder) == []
    assert (project.folder / "params.yaml").read_bytes() == params
    assert list(project.folder.glob(".glcic/checkpoints/pretrain_generator-*/checkpoint.pt"))

    printed = project.run(*COMMAND)
    assert "plain: done" in printed
    assert "second: done" in printed
    assert processes_in(project.folder) == []
    assert (project.folder / "params.yaml").read_bytes() == params
    logs = [path.read_text() for path in project.folder.glob(".dvc/tmp/exps/run/*/*.out")]
    first = [line for log in logs for line in log.splitlines() if line.startswith("pretrain_generator: steps")]
    assert len(first) == 2, first  # the cut one and its continuation; `second` took the stage from the cache
    assert sum(line.startswith("pretrain_generator: steps 0–") for line in first) == 1

    made = ("reports/*.csv", "reports/systems.md", "reports/figures/systems.png")
    results = project.bytes_of(*made)
    table = pd.read_csv(project.folder / "reports/systems.csv")
    assert table.columns[:5].tolist() == ["preset", "mask", "phase", "parameters", "images_per_second"]
    assert len(table) == 2 * 2 * 2
    assert table[["l1_hole", "l1", "psnr", "ssim", "parameters"]].notna().all(axis=None)
    assert set(pd.read_csv(project.folder / "reports/ablation.csv")["preset"]) == {"second"}
    text = (project.folder / "reports/systems.md").read_text()
    assert "12 training images" in text
    assert "python -m pipeline.compare comparison.yaml" in text
    assert text.count("Navier–Stokes") == 2  # once for each mask set
    assert str(tmp_path) not in text
    assert Image.open(project.folder / "reports/figures/systems.png").width > 100

    printed = project.run(*COMMAND)
    assert "training" not in printed
    assert project.bytes_of(*made) == results


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sistems": {}}, "sistems: there is no such field"),
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
    from support.project import ROOT

    path = tmp_path / "comparison.yaml"
    write(path, {"systems": {"runs": {"a": {"preset": "default"}}}} | change)
    with pytest.raises(UserError, match=said):
        runs_of(read_comparison(path), path, ROOT / "presets", ROOT / "params.yaml")


def test_speed_is_read_from_the_row_that_recorded_it(tmp_path: Path) -> None:
    params = merge(default_tree(), {"tracking": {"enabled": True}})
    name = "train_joint/images_per_second"
    assert tracking.recorded(tmp_path, params, [name]) == {}
    assert not list(tmp_path.iterdir())  # nothing created
    row = tracking.open_row(tmp_path, params, stage="train_joint", step=0)
    assert row is not None
    row.log_point(1, {"images_per_second": 5.0})
    row.log_point(2, {"images_per_second": 7.0})
    assert tracking.recorded(tmp_path, params, [name, "train_joint/nothing"]) == {name: 7.0}
    assert tracking.recorded(tmp_path, params | {"seed": 99}, [name]) == {}
    assert tracking.recorded(tmp_path, params | {"tracking": {"enabled": False}}, [name]) == {}
