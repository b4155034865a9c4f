"""What the stages of a report ran on, and what that says of a rebuild."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from glcic import paths
from glcic.params import Runtime, load
from glcic.paths import ReportFolder
from glcic.tracking import made_on
from support.project import Project, default_tree

HERE = {**dict.fromkeys(made_on.FIELDS, "same"), "processor": "Xeon", "num_threads": 2}
THERE = {**HERE, "processor": "EPYC"}


@pytest.fixture(autouse=True)
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReportFolder:
    """A report whose stages ran here."""
    monkeypatch.chdir(tmp_path)
    paths.REPORT.curves.mkdir(parents=True)
    paths.REPORT.figures.mkdir()
    paths.REPORT.figure.write_text("figure")
    for stage in made_on.STAGES:
        if stage != "evaluate":
            paths.REPORT.curve(stage).write_text(stage)
        made_on.record(stage, made_on.begin(stage, HERE))
    return paths.REPORT


def entries() -> dict[str, Any]:
    return json.loads(paths.REPORT.made_on.read_text())


def test_machine_has_what_changes_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = Runtime.model_validate(default_tree()["runtime"])
    for name in made_on.LIMITS:
        monkeypatch.delenv(name, raising=False)
    machine = made_on.machine("cpu", runtime)
    assert machine.keys() == made_on.FIELDS.keys()
    assert machine["instruction_set"] == torch.backends.cpu.get_cpu_capability()
    assert (machine["num_threads"], machine["device"], machine["torch"]) == (2, "cpu", torch.__version__)
    assert machine["processor"]
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")  # by which a convolution rounds otherwise
    assert (
        made_on.machine("cpu", runtime)["instruction_set"] == f"{machine['instruction_set']}, ONEDNN_MAX_CPU_ISA=AVX2"
    )


def test_same_machine_has_no_differences(report: ReportFolder) -> None:
    assert list(entries()) == [*paths.TRAINING_STAGES, "evaluate"]
    assert made_on.differences(report, HERE) == []
    assert made_on.differences(report, {**THERE, "num_threads": 4}) == [
        "processor Xeon there, EPYC here",
        "threads 2 there, 4 here",
    ]


def test_one_stage_from_elsewhere_is_enough(report: ReportFolder) -> None:
    made_on.record("evaluate", made_on.begin("evaluate", THERE))
    assert made_on.differences(report, HERE) == ["processor EPYC there, Xeon here"]


def test_stage_that_did_not_finish_has_no_entry(report: ReportFolder) -> None:
    made_on.begin("train_joint", HERE)
    assert "train_joint" not in entries()
    assert made_on.differences(report, HERE) == [
        "reports/made_on.json does not say what made the results of train_joint"
    ]


def test_entry_counts_for_its_own_result_alone(report: ReportFolder) -> None:
    """A stage from DVC's cache does not run, and its entry may be that of what was there before."""
    before = report.curve("train_joint").read_text()
    report.curve("train_joint").write_text("of another training")
    assert "what made the results of train_joint" in made_on.differences(report, HERE)[0]
    report.curve("train_joint").write_text(before)
    assert made_on.differences(report, HERE) == []


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_missing_or_damaged_record_is_unknown(report: ReportFolder, text: str | None) -> None:
    report.made_on.unlink()
    if text is not None:
        report.made_on.write_text(text)
    (said,) = made_on.differences(report, HERE)
    assert said.endswith("of pretrain_generator, pretrain_discriminators, train_joint, evaluate")
    made_on.record("evaluate", HERE)
    assert list(entries()) == ["evaluate"]


def test_pipeline_says_what_it_ran_on(finished: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every stage that rounds, and no hash of DVC: the stages are up to date whatever the file says."""
    monkeypatch.chdir(finished.folder)
    assert made_on.differences(paths.REPORT, made_on.machine("cpu", load(paths.PARAMS).runtime)) == []
    assert "made_on" not in (finished.folder / "dvc.lock").read_text()


def test_training_that_moved_names_all_machines(report: ReportFolder, tmp_path: Path) -> None:
    def train(now: made_on.Machine, step: int) -> made_on.Machine:
        ran_on = made_on.begin("train_joint", now, step=step, steps=9, checkpoints=tmp_path / "checkpoints")
        made_on.record("train_joint", ran_on)
        return ran_on

    assert train(HERE, 0) == HERE
    assert train(HERE, 3) == HERE
    assert train(THERE, 5)["processor"] == ["Xeon", "EPYC"]
    assert train(HERE, 9)["processor"] == ["Xeon", "EPYC"]  # finished before: nothing was trained here
    assert made_on.differences(report, HERE) == ["processor Xeon and EPYC there, Xeon here"]
    assert train(THERE, 0) == THERE  # from the start
    (tmp_path / "checkpoints/made_on.json").unlink()  # a checkpoint of before there were records
    assert train(HERE, 3)["processor"] == ["unknown", "Xeon"]
