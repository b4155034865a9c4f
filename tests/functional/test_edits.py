"""Somebody edits parameters, code or inputs under way: nothing is recorded under values that did not make it."""

import json
import os
import re
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from glcic import paths
from glcic.errors import UserError
from pipeline.start import Start, stage_definition
from support.project import Project

G, J = "pretrain_generator", "train_joint"
STEPS = 300
SLOW = {"steps": STEPS, "validate_every": 20, "checkpoint_every": 1000}


@pytest.fixture(scope="module")
def mine(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A finished project, left as it is by each test of this file that changes it."""
    return finished.copy(tmp_path_factory.mktemp("edits") / "project")


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.start.PAUSE", 0)


def first_file(dependency: Path) -> Path:
    if not dependency.is_dir():
        return dependency
    return next(path for path in sorted(dependency.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)


@pytest.mark.parametrize("stage", paths.STAGES)
def test_a_stage_notices_every_edit_of_what_it_lists(
    mine: Project, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    monkeypatch.chdir(mine.folder)
    start = Start(stage)
    start.check()
    for dependency in stage_definition(stage)["deps"]:
        path = first_file(Path(dependency))
        before, link = path.read_bytes(), path.is_symlink()
        assert not link
        mode = path.stat().st_mode
        path.chmod(0o644)
        path.write_bytes(before + b"# a comment\n")
        assert start.changes() == [path.as_posix()]
        with pytest.raises(UserError, match=f"{stage}: changed while the stage ran: {path}"):
            start.check()
        path.write_bytes(before)
        path.chmod(mode)
        start.check()
    text, yaml = paths.PARAMS.read_text(), YAML(typ="safe")
    for listed in stage_definition(stage)["params"]:
        tree = section = yaml.load(text)
        keys = listed.split(".")
        while isinstance(section[keys[0]], dict):
            section = section[keys.pop(0)]
            keys = keys or [next(iter(section))]
        name = keys[0]
        before_value, section[name] = section[name], "edited"
        yaml.dump(tree, paths.PARAMS)
        (said,) = start.changes()
        assert said.startswith(listed)
        assert said.endswith(f"{name} ({before_value} → edited)")
        paths.PARAMS.write_text(text)
    paths.PARAMS.write_text(text.replace("seed: 0", "seed: [0"))  # half edited
    assert "is not valid YAML" in start.changes()[0]
    paths.PARAMS.write_text(text)
    start.check()


def test_new_and_removed_source_files_are_edits(mine: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mine.folder)
    start = Start(J)
    new, old = Path("src/glcic/training/new.py"), Path("src/glcic/training/curves.py")
    new.touch()
    text = old.read_text()
    old.unlink()
    assert start.changes() == [old.as_posix(), new.as_posix()]
    new.unlink()
    old.write_text(text)
    Path("src/glcic/training/finished.py").touch()  # DVC ignores it, too
    Path("src/glcic/cli.py").write_text(Path("src/glcic/cli.py").read_text() + "# of no stage\n")
    start.check()


def test_code_edited_while_it_is_imported(mine: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mine.folder)
    path = Path("src/glcic/training/loop.py")
    text = path.read_text()
    path.write_text(text + "# a comment\n")
    with pytest.raises(UserError, match=f"changed while the stage ran: {path}"):
        Start(J)
    path.write_text(text)


def test_a_warning_is_said_once(
    mine: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(mine.folder)
    start = Start(G)
    text = paths.PARAMS.read_text()
    for _ in range(2):
        paths.PARAMS.write_text(text.replace("seed: 0", "seed: 1"))
        start.warn()
    assert capsys.readouterr().err.count("seed (0 → 1); unless this is undone, the stage fails at its end") == 1
    paths.PARAMS.write_text(text)
    start.warn()
    assert capsys.readouterr().err == ""


def test_a_later_stage_refuses_what_was_edited_since_an_earlier_one(
    mine: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The MLflow run of the whole configuration would name parameters that no stage was run with."""
    monkeypatch.chdir(mine.folder)
    text = paths.PARAMS.read_text()
    mine.set({G: {"optimizer": {"lr": 0.5}}, "report": {"bootstrap_samples": 101}})
    Start("crop")
    Start(G)
    said = (
        rf"models/{G}: trained with other parameters than the present ones: {G}\.optimizer\.lr \(0\.\d+ → 0\.5\); run"
    )
    with pytest.raises(UserError, match=said):
        Start("evaluate")
    paths.PARAMS.write_text(text)
    mine.set({"crop": {"max_skipped_fraction": 0.5}})
    Start("evaluate")  # without DVC, dvc.lock tells nothing
    monkeypatch.setenv("DVC_STAGE", "evaluate")
    with pytest.raises(UserError, match=r"edited since crop ran: crop\.max_skipped_fraction \(0.* → 0\.5\); run"):
        Start("evaluate")
    paths.PARAMS.write_text(text)
    mine.set({"report": {"bootstrap_samples": 101}})  # of a stage that comes later
    Start("evaluate")
    paths.PARAMS.write_text(text)


def test_what_differs_for_a_moment_only_is_no_edit(mine: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """`dvc exp run --queue` rewrites params.yaml, an editor replaces a file, `git stash` takes files away."""
    monkeypatch.chdir(mine.folder)
    start = Start(J)
    text, code = paths.PARAMS.read_text(), Path("src/glcic/phases/health.py")
    away = code.rename("health.py")

    def put_back(seconds: float) -> None:
        paths.PARAMS.write_text(text)
        if away.exists():
            away.rename(code)

    paths.PARAMS.write_text("")
    assert code.as_posix() in start.changes()
    monkeypatch.setattr("pipeline.start.time.sleep", put_back)
    start.warn()
    start.check()


def test_all_processes_start_with_the_same(mine: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mine.folder)
    monkeypatch.setenv("GLCIC_START", "")
    Start(J)
    monkeypatch.setenv("LOCAL_RANK", "1")
    Start(J)
    text = paths.PARAMS.read_text()
    mine.set({"masks": {"margin": 0}})
    with pytest.raises(UserError, match=f"{J}: parameters, code or inputs were edited while its"):
        Start(J)
    paths.PARAMS.write_text(text)


def test_a_stage_from_dvcs_cache_that_was_recorded_under_others_is_found(
    finished: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC reads params.yaml again after it has taken outputs from its cache; no stage runs that could notice."""
    project = finished.copy(tmp_path / "project")
    project.set({"tracking": {"enabled": True}, J: {"adv_weight": 0.25}})
    lock = project.folder / "dvc.lock"
    before = re.search(r"adv_weight: (\S+)", lock.read_text())
    assert before is not None
    lock.write_text(lock.read_text().replace(before[0], "adv_weight: 0.25"))
    assert "up to date" in project.dvc("status")
    said = f"models/{J}: trained with other parameters than the present ones: {J}.adv_weight ("
    for command in ("sync", "keep"):
        assert said in project.run("glcic", command, *(["mine"] if command == "keep" else []), expect=1)
    assert said in project.stage("evaluate", expect=1)  # without DVC, too


def edited_under_way(project: Project, stage: str, edit: Callable[[], object]) -> str:
    """Run DVC up to a training stage, edit something at the first point of its curve, and return what was printed."""
    curve = project.folder / paths.REPORT.curve(stage)
    curve.unlink(missing_ok=True)
    process = project.start(sys.executable, "-m", "dvc", "repro", stage)
    deadline = time.monotonic() + 120
    while not curve.exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    edit()
    printed, _ = process.communicate(timeout=300)
    assert process.returncode != 0, printed
    assert f"warning: {stage}: changed while the stage runs" in printed
    assert f"error: {stage}: changed while the stage ran" in printed
    return printed


def trained_with(project: Project, stage: str) -> Any:
    return json.loads((project.folder / "models" / stage / "params.json").read_text())[stage]


def test_parameters_edited_under_way(finished: Project, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "project")
    project.set({"tracking": {"enabled": True}, G: SLOW | {"optimizer": {"lr": 0.001}}})
    lock = project.folder / "dvc.lock"
    before = lock.read_bytes()
    printed = edited_under_way(project, G, lambda: project.set({G: {"optimizer": {"lr": 0.01}}}))
    assert f"{G}.optimizer.lr (0.001 → 0.01)" in printed
    assert lock.read_bytes() == before
    assert not (project.folder / "models" / G / "params.json").exists()

    def runs() -> list[tuple[str, str]]:
        """Status of each run in MLflow's store, and the learning rate that it says."""
        with closing(sqlite3.connect(project.folder / "mlflow.db")) as store:
            query = "select status, value from runs join params using (run_uuid) where key = ? order by value"
            return store.execute(query, (f"{G}.optimizer.lr",)).fetchall()

    assert runs() == [("KILLED", "0.001")]

    assert f"{G}: steps 0–{STEPS}" in project.repro(G)  # anew, as it is now
    assert trained_with(project, G)["optimizer"]["lr"] == 0.01
    project.set({G: {"optimizer": {"lr": 0.001}}})
    assert f"{G}: steps" not in project.repro(G)  # all steps of before were done, and saved
    assert trained_with(project, G)["optimizer"]["lr"] == 0.001
    whole = project.bytes_of(f"models/{G}/*")
    project.set({G: {"optimizer": {"lr": 0.01}}})
    project.repro(G)  # from DVC's run cache
    assert trained_with(project, G)["optimizer"]["lr"] == 0.01
    assert project.bytes_of(f"models/{G}/*") != whole
    assert runs() == [("FINISHED", "0.001"), ("FINISHED", "0.01")]


@pytest.mark.long
def test_code_edited_under_way(finished: Project, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "project")
    project.set({J: SLOW})
    path = project.folder / "src/glcic/training/losses.py"
    text = path.read_text()
    printed = edited_under_way(project, J, lambda: path.write_text(text + "# a comment\n"))
    assert "changed while the stage ran: src/glcic/training/losses.py. The results" in printed
    path.write_text(text)
    printed = project.repro(J)
    assert f"{J}: steps" not in printed  # nothing is lost
    assert "up to date" in project.dvc("status", J)


@pytest.mark.long
def test_a_weight_edited_in_the_joint_phase(finished: Project, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "project")
    project.set({J: SLOW})
    printed = edited_under_way(project, J, lambda: project.set({J: {"adv_weight": 0.25}}))
    assert f"{J}.adv_weight (" in printed
    assert f"{J}: steps 0–{STEPS}" in project.repro(J)
    assert trained_with(project, J)["adv_weight"] == 0.25


EDITING = """
from pathlib import Path
from pipeline import stage, {stage} as script

def main(params):
    path = Path("params.yaml")
    path.write_text(path.read_text().replace("{before}", "{after}"))
    script.main(params)

stage.run("{stage}", main)
"""


@pytest.mark.parametrize(
    ("stage", "before", "after"),
    [
        ("download", "seed: 0", "seed: 1"),
        ("crop", "max_skipped_fraction: 0", "max_skipped_fraction: 0.5"),
        ("evaluate", "figure_rows: 2", "figure_rows: 3"),
        ("report", "confidence_level: 0.95", "confidence_level: 0.9"),
    ],
)
def test_the_other_stages_fail_at_their_end(
    finished: Project, tmp_path: Path, stage: str, before: str, after: str
) -> None:
    """Without a run in MLflow, where evaluate and report would name the new values."""
    project = finished.copy(tmp_path / "project")
    project.set({"tracking": {"enabled": True}})
    assert before in (project.folder / "params.yaml").read_text()
    printed = project.run(sys.executable, "-c", EDITING.format(stage=stage, before=before, after=after), expect=1)
    assert f"error: {stage}: changed while the stage ran:" in printed
    assert f"({before.rpartition(' ')[2]}" in printed
    assert not (project.folder / "mlflow.db").exists()


def test_weights_damaged_in_dvcs_cache_are_refused(finished: Project, tmp_path: Path) -> None:
    """DVC trusts its cache where size and time are those of before."""
    project = finished.copy(tmp_path / "project")
    weights = project.folder / "models" / J / "generator_last.safetensors"
    data = weights.read_bytes()
    (cached,) = [
        path
        for path in (project.folder / ".dvc/cache/files").rglob("*")
        if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data
    ]
    before = cached.stat()
    cached.chmod(0o644)
    cached.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    os.utime(cached, ns=(before.st_atime_ns, before.st_mtime_ns))
    shutil.rmtree(weights.parent)
    project.dvc("checkout")
    assert weights.read_bytes() != data
    assert "generator_last.safetensors: damaged: its SHA-256" in project.stage("evaluate", expect=1)
