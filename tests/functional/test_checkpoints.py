"""A training whose code is edited under way: told, nothing lost, and continued only if the user says so."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from support.project import Project

STAGE = "pretrain_generator"


def cut(project: Project, name: str = STAGE) -> str:
    """Start the stage, stop it after a new point of its curve, and return what it printed."""
    curve = project.folder / "reports/curves" / f"{name}.csv"
    curve.unlink(missing_ok=True)
    process = project.start(sys.executable, "-m", f"pipeline.{name}")
    deadline = time.monotonic() + 120
    while not curve.exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGTERM)
    printed, _ = process.communicate(timeout=120)
    assert f"{name}: stopped after step" in printed, printed
    return printed


def stopped_at(printed: str) -> int:
    return int(printed.rpartition("stopped after step ")[2].split()[0])


def names_of(project: Project) -> dict[str, str]:
    """The listed checkpoints: name → state."""
    lines = [line for line in project.run("glcic", "checkpoints").splitlines() if line.startswith("| pretrain")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row[-1] for row in cells}


def test_edited_code_starts_anew_unless_told_to_go_on(project: Project) -> None:
    section = {"steps": 10**6, "lr_schedule": "constant", "validate_every": 10, "checkpoint_every": 10}
    project.set({STAGE: section})
    assert "no checkpoints" in project.run("glcic", "checkpoints")
    first = stopped_at(cut(project))
    assert list(names_of(project).values()) == ["unfinished; `dvc repro` goes on from it"]
    with (project.folder / "src/glcic/training/loop.py").open("a") as file:
        file.write("# a comment\n")
    (state,) = names_of(project).values()
    assert state == "unfinished, by other code; `dvc repro` starts anew, unless --continue-from names it"

    printed = cut(project)
    why = "other code made it; changed: src/glcic/training/loop.py"
    assert f"starts anew, without the checkpoint of step {first} ({why})" in printed
    assert f"{STAGE}: steps 0–" in printed
    second = stopped_at(printed)
    states = names_of(project)
    (name,) = [name for name, state in states.items() if state == f"set aside: {why}"]
    assert f"glcic checkpoints --continue-from {name}" in printed
    assert sorted(states.values())[-1] == "unfinished; `dvc repro` goes on from it"

    printed = project.run("glcic", "checkpoints", "--continue-from", name)
    assert f"goes on from step {first:,} under the present code" in printed
    assert "note:" not in printed
    project.set({STAGE: {"steps": first + 20}})
    printed = project.stage(STAGE)
    assert f"goes on from step {first} under other code, as you asked" in printed
    curve = pd.read_csv(project.folder / "reports/curves" / f"{STAGE}.csv")
    assert curve["step"].iloc[-1] == first + 20
    code = json.loads((project.folder / "models" / STAGE / "params.json").read_text())["code"]
    assert [entry["from_step"] for entry in code] == [0, first]
    assert code[0]["commit"] == code[1]["commit"]
    assert [entry["dirty"] for entry in code] == [False, True]
    assert code[0]["sha256"] != code[1]["sha256"]

    states = names_of(project)
    (replaced,) = [other for other, state in states.items() if state == f"set aside: replaced by {name}"]
    project.set({"seed": 1})
    printed = project.run("glcic", "checkpoints", "--continue-from", replaced)
    assert f"from step {second:,}" in printed
    assert "note: its parameters or inputs are not the present ones" in printed
    assert "no checkpoints of this name" in project.run("glcic", "checkpoints", "--remove", "nothing", expect=1)
    printed = project.run("glcic", "checkpoints", "--remove", "all")
    assert printed.count("removed pretrain_generator-") == 2
    assert "no checkpoints" in project.run("glcic", "checkpoints")


@pytest.mark.long
def test_a_report_by_several_versions_of_the_code_says_so(finished: Project, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "project")
    for name in ("user.name", "user.email"):
        project.git("config", name, "test")
    with (project.folder / "src/glcic/training/loop.py").open("a") as file:
        file.write("# a comment\n")
    (folder,) = (project.folder / ".glcic/checkpoints").glob("train_joint-*/")
    assert json.loads((folder / "finished.json").read_text())["settled"]
    project.run("glcic", "checkpoints", "--continue-from", folder.name)  # where it is, before it is set aside
    project.set({"train_joint": {"steps": 8}})
    project.repro()
    code = json.loads((project.folder / "models/train_joint/params.json").read_text())["code"]
    assert [entry["from_step"] for entry in code] == [0, 6]
    project.git("add", "-A")
    project.git("commit", "-qm", "mixed")
    said = "train_joint was trained by 2 versions of the code: commit "
    printed = project.run("glcic", "keep", "mixed")
    assert f"note: {said}" in printed
    assert list(json.loads((project.folder / "reports/mixed/code.json").read_text())) == ["train_joint"]
    for report in ("reports", "reports/mixed"):
        process = project.start("glcic", "verify", report)
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith(f"note: {said}"):
                break
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=60)
        assert lines[-1].startswith(f"note: {said}"), lines
        assert lines[-1].endswith("a rebuild by one version may give other numbers\n")
