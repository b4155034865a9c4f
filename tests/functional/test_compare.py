"""The comparison of systems: real DVC experiments, stopped, killed and taken up again, on tiny settings."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
from PIL import Image
from ruamel.yaml import YAML

from glcic.evaluation.definitions import METHODS
from support.project import TINY, Project

COMMAND = ("glcic", "compare")
BASE = {key: value for key, value in TINY.items() if key not in ("preset", "runtime", "tracking")}
COPIES = ".dvc/tmp/exps/standalone/tmp*"


def processes_in(folder: Path) -> list[psutil.Process]:
    """All processes that work in the folder or below."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder):
                found.append(process)
        except psutil.Error:
            pass
    return found


def start_until_it_trains(project: Project) -> subprocess.Popen[str]:
    """The command, come as far as the first steps of a training in a copy of the project."""
    process = project.start(*COMMAND)
    before = {path: path.stat().st_mtime_ns for path in project.folder.glob(f"{COPIES}/reports/curves/*.csv")}
    deadline = time.monotonic() + 300
    while not [
        path
        for path in project.folder.glob(f"{COPIES}/reports/curves/pretrain_generator.csv")
        if path.stat().st_mtime_ns != before.get(path)
    ]:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
    return process


@pytest.mark.long
def test_interrupted_comparison_goes_on_and_a_finished_one_trains_nothing(tmp_path: Path) -> None:
    project = Project(tmp_path / "project", {})
    long = {"steps": 300, "validate_every": 10, "checkpoint_every": 1000}
    base = {**BASE, "pretrain_generator": BASE["pretrain_generator"] | long}
    second = {"preset": "default", "overlay": {"evaluate": {"figure_rows": 1}}}  # one stage of its own
    systems = {"plain": {"preset": "default"}, "second": second}
    YAML(typ="safe").dump(
        {"systems": {"base": base, "runs": systems}, "ablation": {"base": base, "runs": {"second": second}}},
        project.folder / "comparison.yaml",
    )
    (project.folder / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
    for name, value in {"user.name": "test", "user.email": "test@example.org"}.items():
        project.git("config", name, value)
    project.git("add", "-A")
    project.git("commit", "-qm", "comparison")
    params = (project.folder / "params.yaml").read_bytes()
    printed = []

    process = start_until_it_trains(project)
    assert (project.folder / "params.yaml").read_bytes() == params  # free for the user while it trains
    os.kill(process.pid, signal.SIGTERM)
    printed.append(process.communicate(timeout=120)[0])
    assert process.returncode == 130, printed
    assert "to resume" in printed[0]
    assert "pretrain_generator 10/300" in printed[0]  # what the training prints is seen
    assert processes_in(project.folder) == []
    assert (project.folder / "params.yaml").read_bytes() == params
    assert not list(project.folder.glob(COPIES))
    assert list(project.folder.glob(".glcic/checkpoints/pretrain_generator-*/*.pt"))

    process = start_until_it_trains(project)
    for left in processes_in(project.folder):  # as a power cut does
        left.kill()
    printed.append(process.communicate(timeout=120)[0])
    assert list(project.folder.glob(COPIES))

    printed.append(project.run(*COMMAND))
    assert "plain: done" in printed[-1]
    assert "second: done" in printed[-1]
    assert processes_in(project.folder) == []
    assert (project.folder / "params.yaml").read_bytes() == params
    assert not list(project.folder.glob(COPIES))
    lines = [line for text in printed for line in text.splitlines() if line.startswith("pretrain_generator: steps")]
    assert len(lines) == 3, lines  # the cut one, the killed one and their continuation; `second` took it from the cache
    assert sum(line.startswith("pretrain_generator: steps 0–") for line in lines) == 1

    made = ("reports/*.csv", "reports/systems.md", "reports/figures/systems.png")
    results = project.bytes_of(*made)
    table = pd.read_csv(project.folder / "reports/systems.csv")
    assert table.columns[:5].tolist() == ["preset", "mask", "phase", "parameters", "images_per_second"]
    assert len(table) == 2 * 2 * 2
    assert table[["l1_hole", "l1", "psnr", "ssim", "parameters"]].notna().all(axis=None)
    assert set(pd.read_csv(project.folder / "reports/ablation.csv")["preset"]) == {"second"}
    text = (project.folder / "reports/systems.md").read_text()
    assert "12 training images" in text
    assert "Made by `glcic compare comparison.yaml`." in text
    for method in ("mean_fill", "telea", "navier_stokes", "biharmonic", "nearest"):
        assert text.count(f"| {METHODS[method]} ") == 2  # once for each mask set
    assert str(tmp_path) not in text
    assert Image.open(project.folder / "reports/figures/systems.png").width > 100

    with (project.folder / "src/glcic/report/formatting.py").open("a") as file:
        file.write("# edited\n")
    project.git("commit", "-qam", "edited")
    printed.append(project.run(*COMMAND))
    assert "training" not in printed[-1]
    assert "plain was trained before src/glcic/report/formatting.py changed" in printed[-1]
    assert project.bytes_of(*made) == results
