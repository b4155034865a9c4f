"""The MLflow row of a pipeline: complete, never doubled, never in the way of training."""

import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glcic import tracking

PARAMS: dict[str, Any] = {
    "preset": "small",
    "seed": 1,
    "runtime": {"threads": 2, "celeba": "/hidden-attic/faces", "images": "/hidden-attic/images"},
    "tracking": {"enabled": True, "experiment": "glcic"},
    "download": {
        "zip": None,
        "mirrors": ["file:///hidden-attic/mirror/faces.zip", "https://example.org/faces.zip"],
    },
    "pretrain_generator": {"steps": 3},
    "train_joint": {"adversarial": {"weight": 0.0004}, "betas": [0.5, 0.999]},
}
CURVE = [{"step": 0, "loss": 1.0}, {"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25, "val_psnr": 20.0}]
GRID = np.zeros((8, 16, 3), np.uint8)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all tests, since creating one takes seconds; every test has its own seed instead."""
    return tmp_path_factory.mktemp("a project")


@pytest.fixture
def params(request: pytest.FixtureRequest) -> dict[str, Any]:
    own = copy.deepcopy(PARAMS)
    own["seed"] = request.node.name
    return own


@pytest.fixture
def outputs(tmp_path: Path) -> dict[str, Any]:
    """What a finished pipeline leaves, as arguments of `complete_row`."""
    curve, metrics, figure = tmp_path / "curve.csv", tmp_path / "metrics.json", tmp_path / "faces.png"
    curve.write_text("step,loss,val_psnr\n0,1.0,\n1,0.5,\n2,0.25,20.0\n")
    metrics.write_text(json.dumps({"center": {"completion": {"psnr": 25.5}}, "masks": "a hash"}))
    figure.write_bytes(b"not really an image")
    return {
        "curves": {"pretrain_generator": curve, "train_joint": tmp_path / "missing.csv"},
        "metrics": metrics,
        "figures": [figure],
    }


def open_row(root: Path, params: Mapping[str, Any], **changes: Any) -> tracking.Row:
    stage: dict[str, Any] = {"name": "small", "stage": "pretrain_generator", "step": 0}
    return tracking.open_row(root, params, **(stage | changes))


def client_of(root: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{root / 'mlflow.db'}")


def rows(root: Path, params: Mapping[str, Any]) -> list[Any]:
    """The MLflow runs of these parameters, newest first."""
    client = client_of(root)
    experiment = client.get_experiment_by_name("glcic").experiment_id
    mark = tracking.fingerprint(params)
    found = client.search_runs([experiment], order_by=["start_time DESC"])
    return [run for run in found if run.data.tags["glcic.fingerprint"] == mark]


def points(root: Path, run: Any) -> dict[str, list[tuple[int, float]]]:
    client = client_of(root)
    history = {key: client.get_metric_history(run.info.run_id, key) for key in run.data.metrics}
    return {key: sorted((point.step, point.value) for point in history[key]) for key in history}


def artifacts(root: Path, run: Any, folder: str | None = None) -> Iterator[str]:
    for file in client_of(root).list_artifacts(run.info.run_id, folder):
        yield from artifacts(root, run, file.path) if file.is_dir else [file.path]


def test_fingerprint_ignores_machine_and_tracking() -> None:
    elsewhere = PARAMS | {"runtime": {"threads": 8}, "tracking": {"enabled": False}}
    assert tracking.fingerprint(dict(reversed(elsewhere.items()))) == tracking.fingerprint(PARAMS)
    assert tracking.fingerprint(PARAMS | {"seed": 2}) != tracking.fingerprint(PARAMS)


def test_trained_row_is_complete(
    root: Path, params: dict[str, Any], outputs: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    row = open_row(root, params)
    for point in CURVE:
        row.log_point("pretrain_generator", int(point["step"]), point | {"gradient": float("nan")})
    for _ in range(2):  # a resumed stage comes past the same step again
        row.log_point("pretrain_generator", 2, {"loss": 0.25})
        row.log_image("pretrain_generator", 2, GRID)
    assert [run.info.status for run in rows(root, params)] == ["RUNNING"]
    row.finish("pretrain_generator")
    line = tracking.complete_row(root, params, name="small", **outputs)

    (run,) = rows(root, params)
    assert run.info.run_name == f"small-{tracking.fingerprint(params)[:8]}"
    assert line == f"MLflow: run {run.info.run_name} complete (make ui)"
    assert run.info.status == "FINISHED"
    assert run.data.params == {
        "preset": "small",
        "seed": params["seed"],
        "download.zip": "null",
        "download.mirrors": '["faces.zip", "https://example.org/faces.zip"]',
        "pretrain_generator.steps": "3",
        "train_joint.adversarial.weight": "0.0004",
        "train_joint.betas": "[0.5, 0.999]",
    }
    tags = {key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")}
    assert tags == {
        "glcic.fingerprint": tracking.fingerprint(params),
        "glcic.finished.pretrain_generator": "true",
        "runtime.threads": "2",
    }
    assert points(root, run) == {
        "pretrain_generator/loss": [(0, 1.0), (1, 0.5), (2, 0.25)],
        "pretrain_generator/val_psnr": [(2, 20.0)],
        "test/center/completion/psnr": [(0, 25.5)],
    }
    images = [path for path in artifacts(root, run) if path.startswith("images/pretrain_generator+step+2+")]
    assert sorted(Path(path).suffix for path in images) == [".png", ".webp"]
    assert set(artifacts(root, run)) - set(images) == {"params.yaml", "figures/faces.png"}

    stored = [path.read_bytes() for path in root.rglob("*") if path.is_file()]
    assert not any(b"hidden-attic" in content for content in stored), "a private path was logged"
    assert capfd.readouterr().err == "", "MLflow chatters, or warned"


def test_row_from_cached_outputs_is_completed_once(root: Path, params: dict[str, Any], outputs: dict[str, Any]) -> None:
    def state() -> list[Any]:
        return [(run.to_dictionary(), points(root, run), set(artifacts(root, run))) for run in rows(root, params)]

    first = tracking.complete_row(root, params, name="small", **outputs)
    before = state()
    assert len(before) == 1
    assert len(before[0][1]["pretrain_generator/loss"]) == 3
    assert tracking.complete_row(root, params, name="small", **outputs) == first
    assert state() == before

    outputs["metrics"].write_text('{"center": {"completion": {"psnr": 26.0}}}')
    outputs["figures"][0].write_bytes(b"another image")
    tracking.complete_row(root, params, name="small", **outputs)
    (run,) = rows(root, params)
    assert run.data.metrics["test/center/completion/psnr"] == 26.0
    figure = client_of(root).download_artifacts(run.info.run_id, "figures/faces.png")
    assert Path(figure).read_bytes() == b"another image"


def test_resuming_doubles_no_point(root: Path, params: dict[str, Any]) -> None:
    row = open_row(root, params)
    row.log_point("pretrain_generator", 0, {"loss": 1.0})
    row.log_point("pretrain_generator", 2, {"loss": 0.25})  # logged, but killed before its checkpoint
    row.log_image("pretrain_generator", 2, GRID)
    row.interrupt()
    assert [run.info.status for run in rows(root, params)] == ["KILLED"]

    params["runtime"]["threads"] = 8
    row = open_row(root, params, step=2, curve=CURVE[:2])
    row.log_point("pretrain_generator", 2, {"loss": 0.25, "val_psnr": 20.0})
    row.log_image("pretrain_generator", 2, GRID)
    (run,) = rows(root, params)
    assert (run.info.status, run.data.tags["runtime.threads"]) == ("RUNNING", "8")
    assert points(root, run) == {
        "pretrain_generator/loss": [(0, 1.0), (1, 0.5), (2, 0.25)],
        "pretrain_generator/val_psnr": [(2, 20.0)],
    }
    assert len(list(artifacts(root, run, "images"))) == 2  # one image and its thumbnail


def test_starting_over_opens_a_new_row(root: Path, params: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    open_row(root, params).finish("pretrain_generator")
    open_row(root, params, stage="train_joint")
    assert len(rows(root, params)) == 1, "the next stage belongs into the same row"

    monkeypatch.setenv("DVC_EXP_NAME", "stout-gate")
    row = open_row(root, params)
    assert rows(root, params)[0].info.run_name == "stout-gate"
    assert len(rows(root, params)) == 2, "a finished part was started over"

    open_row(root, params)
    assert len(rows(root, params)) == 2, "nothing was recorded yet"
    row.log_point("pretrain_generator", 0, {"loss": 1.0})
    open_row(root, params, curve=CURVE[:1])
    assert len(rows(root, params)) == 2, "resumed from a checkpoint at step 0"
    open_row(root, params)
    assert len(rows(root, params)) == 3, "started over without a checkpoint: perhaps the code was edited"


def test_failure_warns_once_and_training_goes_on(
    root: Path, params: dict[str, Any], outputs: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    row = open_row(root, params)
    (run,) = rows(root, params)
    client_of(root).delete_run(run.info.run_id)  # MLflow now refuses to log to it
    for point in CURVE:
        row.log_point("pretrain_generator", int(point["step"]), {"loss": point["loss"]})
    row.log_image("pretrain_generator", 2, GRID)
    row.finish("pretrain_generator")
    (warning,) = capfd.readouterr().err.splitlines()
    assert warning.startswith("warning: MLflow: ")

    tracking.complete_row(root, params, name="small", **outputs)
    (run,) = rows(root, params)
    assert len(points(root, run)["pretrain_generator/loss"]) == 3


def test_dead_server_warns_once(
    tmp_path: Path,
    params: dict[str, Any],
    outputs: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    row = open_row(tmp_path, params, curve=CURVE)
    row.log_point("pretrain_generator", 3, {"loss": 0.1})
    row.finish("pretrain_generator")
    assert len(capfd.readouterr().err.splitlines()) == 1
    assert tracking.complete_row(tmp_path, params, name="small", **outputs) is None
    assert len(capfd.readouterr().err.splitlines()) == 1


def start(script: str, *arguments: str) -> "subprocess.Popen[str]":
    environment = os.environ | {"PYTHONPATH": str(Path(tracking.__file__).parents[1])}
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


OFF = """
import sys
sys.modules["mlflow"] = None
from pathlib import Path
from glcic import tracking
params = {"tracking": {"enabled": False, "experiment": "glcic"}}
row = tracking.open_row(Path(sys.argv[1]), params, name="n", stage="train_joint", step=0)
row.log_point("train_joint", 0, {"loss": 1.0})
row.interrupt()
row.finish("train_joint")
assert tracking.complete_row(Path(sys.argv[1]), params, name="n", curves={}, metrics=None, figures=[]) is None
assert "torch" not in sys.modules
"""


def test_off_needs_no_mlflow(tmp_path: Path) -> None:
    process = start(OFF, str(tmp_path))
    assert process.communicate()[1] == ""
    assert process.returncode == 0
    assert list(tmp_path.iterdir()) == []


OPEN = """
import json, sys
from pathlib import Path
from glcic import tracking
row = tracking.open_row(Path(sys.argv[1]), json.loads(sys.argv[2]), name="n", stage="train_joint", step=0)
row.log_point("train_joint", 0, {"loss": 1.0})
"""


def test_two_processes_open_a_fresh_store(tmp_path: Path) -> None:
    both = [PARAMS | {"seed": seed} for seed in (1, 2)]
    processes = [start(OPEN, str(tmp_path), json.dumps(params)) for params in both]
    assert [process.communicate()[1] for process in processes] == ["", ""]
    for params in both:
        (run,) = rows(tmp_path, params)
        assert points(tmp_path, run) == {"train_joint/loss": [(0, 1.0)]}
