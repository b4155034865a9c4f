"""What happens in a training is told on the terminal, in files and in the MLflow run."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from glcic import paths, tracking
from glcic.params import Params
from glcic.tracking.recorder import Recorder
from glcic.training.curves import write_curve
from glcic.training.loop import TrainState
from support.curves import HEALTHY, WON, joint_curve
from support.project import TINY, default_tree, merge
from support.store import SUMMARY, client_of, runs_of

TREE = merge(merge(default_tree(), TINY), {"tracking": {"enabled": True}})


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all tests, since creating one takes seconds; every test has its own preset's name instead."""
    return tmp_path_factory.mktemp("a project")


@pytest.fixture
def tree(request: pytest.FixtureRequest, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "60")  # no sample within a test
    monkeypatch.setattr(paths, "ROOT", root)
    monkeypatch.chdir(tmp_path)
    return copy.deepcopy(TREE) | {"preset": request.node.name}


def recorder_of(
    tree: Mapping[str, Any], stage: str = "train_joint", curve: Sequence[dict[str, float]] = ()
) -> Recorder:
    """A recorder that has seen a training start, with the curve of its checkpoint."""
    phase: Any = SimpleNamespace(networks={}, fabric=SimpleNamespace(device="cpu"))  # no network: no sample grid
    shown: Any = None
    recorder = Recorder(stage, Params.model_validate(tree), phase, shown, SUMMARY)
    recorder.record(TrainState(int(curve[-1]["step"]) if curve else 0, list(curve)))
    return recorder


def train(recorder: Recorder, curve: Sequence[dict[str, float]], until: int) -> None:
    """Record the points of a curve that come after those that the recorder has seen."""
    assert recorder.first is not None
    for k in range(recorder.first, until):
        recorder.record(TrainState(k + 1, list(curve[: k + 1])))
    recorder.first = until


def alarm_tags(root: Path, tree: Mapping[str, Any]) -> dict[str, str]:
    (run,) = runs_of(root, tree)
    return {key: value for key, value in run.data.tags.items() if key.startswith("alarm.")}


def alarms_told(capfd: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capfd.readouterr().err.splitlines() if line.startswith("warning: ")]


def test_a_point_is_a_line_a_file_and_a_point_of_the_run(
    root: Path, tree: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    curve = joint_curve(HEALTHY, HEALTHY)
    with recorder_of(tree) as recorder:
        train(recorder, curve, 2)
    lines = capfd.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["train_joint 1/6", "train_joint 2/6"]
    assert "val_d_acc_real 0.95" in lines[0]
    assert "images/s" in lines[0]
    assert paths.REPORT.curve("train_joint").read_text().count("\n") == 3
    (run,) = runs_of(root, tree)
    history = client_of(root).get_metric_history(run.info.run_id, "train_joint/val_d_acc_real")
    assert [(point.step, point.value) for point in history] == [(1, 0.95), (2, 0.95)]
    assert run.data.metrics["train_joint/images_per_second"] > 0
    assert run.info.status == "RUNNING"
    recorder.finish()
    (run,) = runs_of(root, tree)
    assert (run.info.status, run.data.tags["glcic.finished.train_joint"]) == ("FINISHED", "true")


def test_a_training_that_goes_on_takes_the_run_that_has_its_curve(root: Path, tree: dict[str, Any]) -> None:
    """Not the newer one of a training that started anew meanwhile, as after an edit of the code."""
    first, anew = joint_curve(*[HEALTHY] * 4), joint_curve(*[WON] * 3)
    train(recorder_of(tree), first, 2)
    train(recorder_of(tree), anew, 3)
    train(recorder_of(tree, curve=first[:2]), first, 4)
    histories = [
        [
            (point.step, point.value)
            for point in client_of(root).get_metric_history(run.info.run_id, "train_joint/d_loss_real")
        ]
        for run in runs_of(root, tree)
    ]
    assert sorted(histories) == sorted([[(k, 0.001) for k in (1, 2, 3)], [(k, 0.05) for k in (1, 2, 3, 4)]])


def test_a_training_that_fails_is_killed_in_the_run(root: Path, tree: dict[str, Any]) -> None:
    with pytest.raises(KeyboardInterrupt), recorder_of(tree):
        raise KeyboardInterrupt
    (run,) = runs_of(root, tree)
    assert run.info.status == "KILLED"


def test_alarm_is_told_once_and_tagged_while_training_and_from_the_file(
    root: Path, tree: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    curve = joint_curve(HEALTHY, WON, WON, WON, WON)
    recorder = recorder_of(tree)
    train(recorder, curve, 3)
    assert alarms_told(capfd) == []
    assert alarm_tags(root, tree) == {}
    train(recorder, curve, 4)
    (line,) = alarms_told(capfd)
    assert line.startswith("warning: train_joint: discriminator won since step 2: the discriminator's loss is 0.14 %")

    train(recorder_of(tree, curve=curve[:2]), curve, 4)
    assert len(alarms_told(capfd)) == 1, "it had not been raised at the checkpoint"
    train(recorder_of(tree, curve=curve[:4]), curve, 5)
    assert alarms_told(capfd) == [], "it had been told before the checkpoint"
    live = alarm_tags(root, tree)
    assert list(live) == ["alarm.discriminator_won"]
    assert live["alarm.discriminator_won"].startswith("since step 2: ")

    outputs = tracking.Outputs(tmp_path / "finished")
    file = outputs.report.curve("train_joint")
    file.parent.mkdir(parents=True)
    outputs.report.metrics.write_text("{}")
    write_curve(file, curve)
    for _ in range(2):
        tracking.complete_run(root, tree, outputs)
        assert alarm_tags(root, tree) == live
    write_curve(file, joint_curve(*[HEALTHY] * 5))
    tracking.complete_run(root, tree, outputs)
    assert alarm_tags(root, tree) == {}


def test_every_stage_has_its_own_alarms(
    root: Path, tree: dict[str, Any], capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Alone, the discriminators are to win; a stage's alarms do not remove those of another."""
    curves = {
        "pretrain_generator": joint_curve(*[{"val_psnr": 14.45, "val_l1_hole": 38.75}] * 4),
        "pretrain_discriminators": joint_curve(*[WON] * 4),
        "train_joint": joint_curve(*[WON] * 4),
    }
    for stage, curve in curves.items():
        train(recorder_of(tree, stage), curve, 4)
    (dead, won) = alarms_told(capfd)
    assert dead.startswith("warning: pretrain_generator: generator dead since step 2: the validation scores do not")
    assert won.startswith("warning: train_joint: discriminator won since step 1: ")
    expected = {"alarm.pretrain_generator.generator_dead", "alarm.discriminator_won"}
    assert alarm_tags(root, tree).keys() == expected
    outputs = tracking.Outputs(tmp_path / "finished")
    for stage, curve in curves.items():
        write_curve(outputs.report.curve(stage), curve)
    tracking.complete_run(root, tree, outputs)
    assert alarm_tags(root, tree).keys() == expected


def test_alarm_is_told_without_mlflow(root: Path, tree: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    tree["tracking"] = {"enabled": False, "experiment": "glcic"}
    before = list(root.rglob("*"))
    train(recorder_of(tree), joint_curve(*[WON] * 4), 4)
    assert len(alarms_told(capfd)) == 1
    assert list(root.rglob("*")) == before
