"""The MLflow run of a pipeline: complete, never doubled, never in the way of training."""

import copy
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glcic import paths, tracking
from glcic.tracking.tags import digest_of_models
from glcic.training.curves import write_curve
from support.curves import HEALTHY, WON, joint_curve
from support.store import PARAMS, SUMMARY, artifacts, client_of, runs_of

CURVE = [{"step": 0, "loss": 1.0}, {"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25, "val_psnr": 20.0}]
ENVIRONMENT = {
    "device": "cpu: a processor",
    "git": {"commit": 5 * "01234567", "dirty": False},
    "packages": {"numpy": "2.0"},
}
GRID = np.zeros((8, 16, 3), np.uint8)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "60")  # no sample within a test


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
def models(tmp_path: Path) -> Path:
    """A folder of weights; the tests' random one of its kind."""
    folder = tmp_path / "finished" / paths.MODELS / "pretrain_generator"
    folder.mkdir(parents=True)
    (folder / "generator_last.safetensors").write_bytes(str(tmp_path).encode())
    return folder


@pytest.fixture
def outputs(tmp_path: Path, models: Path) -> tracking.Outputs:
    """What a finished pipeline leaves, but for the weights of its generator, which take seconds to log."""
    found = tracking.Outputs(tmp_path / "finished", {"seconds": 2.0})
    scores = {"val": {"psnr": 24.5}, "test": {"psnr": 25.5, "ssim": None}, "masks": "a hash"}
    texts = {
        found.report.curve("pretrain_generator"): "step,loss,val_psnr\n0,1.0,\n1,0.5,\n2,0.25,20.0\n",
        found.report.metrics: json.dumps(scores),
        found.report.methods: "mask_set,method,psnr\ncenter,completion,25.5\ncenter,telea,19.0\n",
        found.report.validation: "mask_set,method,psnr\ncenter,completion,24.5\n",
        found.report.figure: "not really an image",
        found.lock: "stages: {crop: {outs: [{path: data/images, md5: 0f.dir}]}}",
        found.folder / paths.IMAGES_SUMMARY: json.dumps(SUMMARY),
    }
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return found


def open_run(root: Path, params: Mapping[str, Any], **changes: Any) -> tracking.StageRun:
    stage: dict[str, Any] = {"stage": "pretrain_generator", "step": 0}
    stage_run = tracking.open_run(root, params, **(stage | changes))
    assert stage_run is not None
    return stage_run


def points(root: Path, run: Any) -> dict[str, list[tuple[int, float]]]:
    client = client_of(root)
    history = {key: client.get_metric_history(run.info.run_id, key) for key in run.data.metrics}
    return {key: sorted((point.step, point.value) for point in history[key]) for key in history}


def test_fingerprint_ignores_machine_and_tracking() -> None:
    elsewhere = PARAMS | {"runtime": {"num_threads": 8}, "tracking": {"enabled": False}}
    assert tracking.fingerprint(dict(reversed(elsewhere.items()))) == tracking.fingerprint(PARAMS)
    assert tracking.fingerprint(PARAMS | {"seed": 2}) != tracking.fingerprint(PARAMS)


def test_trained_run_is_complete(
    root: Path, params: dict[str, Any], outputs: tracking.Outputs, models: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stage_run = open_run(root, params, environment=ENVIRONMENT, data=SUMMARY)
    for point in CURVE:
        stage_run.log_point(int(point["step"]), point | {"gradient": float("nan"), "images_per_second": 9.0})
    for _ in range(2):  # a resumed stage comes past the same step again
        stage_run.log_point(2, {"loss": 0.25})
        stage_run.log_image(2, GRID)
    assert [run.info.status for run in runs_of(root, params)] == ["RUNNING"]
    stage_run.finish(models)
    line = tracking.complete_run(root, params, outputs)

    (run,) = runs_of(root, params)
    assert run.info.run_name == f"small-{tracking.fingerprint(params)[:8]}"
    assert line == f"MLflow: run {run.info.run_name} complete (make ui)"
    assert run.info.status == "FINISHED"
    assert run.data.params == {
        "preset": "small",
        "seed": params["seed"],
        "download.source": "celeba",
        "download.celeba.zip_md5": "null",
        "download.celeba.mirrors": '["mirror"]',
        "download.image_folder.split_file": "split.txt",
        "crop.image_size": "16",
        "evaluate.mask_sets": '["center"]',
        "gan.loss": "bce",
        "gan.real_label": "1.0",
        "download.mirrors": '["faces.zip", "https://example.org/faces.zip"]',
        "pretrain_generator.steps": "3",
        "train_joint.adv_weight": "0.0004",
        "train_joint.betas": "[0.5, 0.999]",
    }
    tags = {key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")}
    assert tags == {
        "glcic.fingerprint": tracking.fingerprint(params),
        "glcic.finished.pretrain_generator": "true",
        "glcic.models.pretrain_generator": digest_of_models(models),
        "glcic.complete": outputs.digest,
        "runtime.num_threads": "2",
        "device": "cpu: a processor",
        "git.commit": 5 * "01234567",
        "git.dirty": "false",
        "dvc.data/images": "0f.dir",
    }
    history = points(root, run)
    seconds = [value for _, value in history.pop("pretrain_generator/seconds")]
    assert len(seconds) == 3
    assert seconds == sorted(seconds)
    assert {key: history[key] for key in history if not key.startswith("system/")} == {
        "pretrain_generator/loss": [(0, 1.0), (1, 0.5), (2, 0.25)],
        "pretrain_generator/val_psnr": [(2, 20.0)],
        "pretrain_generator/images_per_second": [(0, 9.0), (1, 9.0), (2, 9.0)],
        "val/psnr": [(0, 24.5)],
        "test/psnr": [(0, 25.5)],
        "val/center/psnr": [(0, 24.5)],
        "test/center/psnr": [(0, 25.5)],
        "evaluate/seconds": [(0, 2.0)],
    }
    (data,) = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("celeba-16", 4 * "01234567")
    assert json.loads(data.dataset.source)["url"].endswith("CelebA.html")
    assert json.loads(data.dataset.profile) == {"train": 3, "val": 2, "test": 1, "skipped": 0}
    images = [path for path in artifacts(root, run) if path.startswith("images/pretrain_generator+step+2+")]
    assert sorted(Path(path).suffix for path in images) == [".png", ".webp"]
    assert set(artifacts(root, run)) - set(images) == {
        "params.yaml",
        "dvc.lock",
        "environment/pretrain_generator.json",
        "figures/completions.png",
        "tables/methods.csv",
        "tables/validation.csv",
    }

    stored = [path.read_bytes() for path in root.rglob("*") if path.is_file()]
    assert not any(b"hidden-attic" in content for content in stored), "a private path was logged"
    assert capfd.readouterr().err == "", "MLflow chatters, or warned"


def test_run_from_cached_outputs_is_completed_once(
    root: Path, params: dict[str, Any], outputs: tracking.Outputs
) -> None:
    def state() -> list[Any]:
        return [(run.to_dictionary(), points(root, run), set(artifacts(root, run))) for run in runs_of(root, params)]

    first = tracking.complete_run(root, params, outputs)
    before = state()
    assert len(before) == 1
    assert len(before[0][1]["pretrain_generator/loss"]) == 3
    assert tracking.complete_run(root, params, outputs) == first
    assert state() == before

    assert tracking.is_complete(root, params, outputs)
    outputs.report.figure.write_bytes(b"another image")
    assert not tracking.is_complete(root, params, outputs)
    outputs.report.methods.write_text("mask_set,method,psnr\ncenter,completion,26.0\n")
    assert tracking.is_complete(root, params, outputs), "an experiment of earlier code must not take the run back"
    tracking.complete_run(root, params, outputs)
    (run,) = runs_of(root, params)
    assert run.data.metrics["test/center/psnr"] == 26.0
    figure = client_of(root).download_artifacts(run.info.run_id, "figures/completions.png")
    assert Path(figure).read_bytes() == b"another image"


def test_resuming_doubles_no_point(root: Path, params: dict[str, Any]) -> None:
    stage_run = open_run(root, params)
    stage_run.log_point(0, {"loss": 1.0})
    stage_run.log_point(2, {"loss": 0.25})  # logged, but killed before its checkpoint
    stage_run.log_image(2, GRID)
    stage_run.interrupt()
    assert [run.info.status for run in runs_of(root, params)] == ["KILLED"]

    params["runtime"]["num_threads"] = 8
    stage_run = open_run(root, params, step=2, curve=CURVE[:2])
    stage_run.log_point(2, {"loss": 0.25, "val_psnr": 20.0})
    stage_run.log_image(2, GRID)
    (run,) = runs_of(root, params)
    assert (run.info.status, run.data.tags["runtime.num_threads"]) == ("RUNNING", "8")
    history = points(root, run)
    assert [step for step, _ in history.pop("pretrain_generator/seconds")] == [0, 2]
    assert {key: history[key] for key in history if not key.startswith("system/")} == {
        "pretrain_generator/loss": [(0, 1.0), (1, 0.5), (2, 0.25)],
        "pretrain_generator/val_psnr": [(2, 20.0)],
    }
    assert len(list(artifacts(root, run, "images"))) == 2  # one image and its thumbnail


def test_stage_from_the_cache_is_copied_from_the_run_that_trained_it(
    root: Path, params: dict[str, Any], outputs: tracking.Outputs, models: Path
) -> None:
    """Two configurations that differ in a later stage share the first one's weights."""
    stage_run = open_run(root, params, environment=ENVIRONMENT)
    for step in (1, 2):
        stage_run.log_point(step, {"loss": 1.0, "images_per_second": 10.0 * step})
        stage_run.log_image(step, GRID)
    stage_run.finish(models)
    (trained,) = runs_of(root, params)

    other = copy.deepcopy(params)
    other["train_joint"]["adv_weight"] = 0.5
    tracking.complete_run(root, other, outputs)
    (run,) = runs_of(root, other)
    assert run.data.tags["glcic.cached.pretrain_generator"] == trained.info.run_name
    history = points(root, run)
    assert history["pretrain_generator/images_per_second"] == [(1, 10.0), (2, 20.0)]
    assert history["pretrain_generator/seconds"] == points(root, trained)["pretrain_generator/seconds"]
    assert history["pretrain_generator/loss"] == [(0, 1.0), (1, 0.5), (2, 0.25)]  # from its own file
    assert set(artifacts(root, run, "images")) == set(artifacts(root, trained, "images"))
    assert set(artifacts(root, run, "environment")) == {"environment/pretrain_generator.json"}

    (models / "generator_last.safetensors").write_bytes(b"weights that nobody here has trained")
    other["seed"] = "elsewhere"
    tracking.complete_run(root, other, outputs)
    (run,) = runs_of(root, other)
    assert run.data.tags["glcic.cached.pretrain_generator"] == "unknown"
    assert not list(artifacts(root, run, "images"))


def test_load_of_the_machine_is_recorded(
    root: Path, params: dict[str, Any], models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    before = set(threading.enumerate())
    stage_run = open_run(root, params)
    deadline = time.monotonic() + 60
    while not any(key.startswith("system/cpu") for key in runs_of(root, params)[0].data.metrics):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
    stage_run.finish(models)
    assert set(threading.enumerate()) <= before, "it goes on after the stage has ended"


def test_outputs_of_other_weights_get_a_run_of_their_own(
    root: Path, params: dict[str, Any], outputs: tracking.Outputs, models: Path
) -> None:
    """The same parameters under other code: neither training's scores may stand beside the other's curves."""
    tracking.complete_run(root, params, outputs)
    (models / "generator_last.safetensors").write_bytes(b"trained by later code")
    tracking.complete_run(root, params, outputs)
    assert len(runs_of(root, params)) == 2
    tracking.complete_run(root, params, outputs)
    assert len(runs_of(root, params)) == 2


def test_starting_over_opens_a_new_run(
    root: Path, params: dict[str, Any], models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_run(root, params).finish(models)
    open_run(root, params, stage="train_joint")
    assert len(runs_of(root, params)) == 1, "the next stage belongs into the same run"

    monkeypatch.setenv("DVC_EXP_NAME", "stout-gate")
    stage_run = open_run(root, params)
    assert runs_of(root, params)[0].info.run_name == "stout-gate"
    assert len(runs_of(root, params)) == 2, "a finished part was started over"

    open_run(root, params)
    assert len(runs_of(root, params)) == 2, "nothing was recorded yet"
    stage_run.log_point(0, {"loss": 1.0})
    open_run(root, params, curve=CURVE[:1])
    assert len(runs_of(root, params)) == 2, "resumed from a checkpoint at step 0"
    open_run(root, params)
    assert len(runs_of(root, params)) == 3, "started over without a checkpoint: perhaps the code was edited"


def test_failure_warns_once_and_training_goes_on(
    root: Path, params: dict[str, Any], outputs: tracking.Outputs, models: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stage_run = open_run(root, params)
    (run,) = runs_of(root, params)
    client_of(root).delete_run(run.info.run_id)  # MLflow now refuses to log to it
    for point in CURVE:
        stage_run.log_point(int(point["step"]), {"loss": point["loss"]})
    stage_run.log_image(2, GRID)
    stage_run.finish(models)
    (warning,) = capfd.readouterr().err.splitlines()
    assert warning.startswith("warning: MLflow: ")

    tracking.complete_run(root, params, outputs)
    (run,) = runs_of(root, params)
    assert len(points(root, run)["pretrain_generator/loss"]) == 3


def test_dead_server_warns_once(
    tmp_path: Path,
    params: dict[str, Any],
    outputs: tracking.Outputs,
    models: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert tracking.open_run(tmp_path, params, stage="pretrain_generator", step=0, curve=CURVE) is None
    assert len(capfd.readouterr().err.splitlines()) == 1
    assert tracking.complete_run(tmp_path, params, outputs) is None
    assert len(capfd.readouterr().err.splitlines()) == 1


def start(script: str, *arguments: str) -> "subprocess.Popen[str]":
    environment = os.environ | {"PYTHONPATH": str(Path(tracking.__file__).parents[1])}
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


OFF = """
import sys
sys.modules["mlflow"] = None
from pathlib import Path
from glcic import paths, tracking
from glcic.tracking.tags import digest_of_models
params = {"tracking": {"enabled": False, "experiment": "glcic"}, "gan": {"loss": "bce", "real_label": 1.0}}
assert tracking.open_run(Path(sys.argv[1]), params, stage="train_joint", step=0) is None
assert tracking.complete_run(Path(sys.argv[1]), params, tracking.Outputs()) is None
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
from glcic import paths, tracking
from glcic.tracking.tags import digest_of_models
stage_run = tracking.open_run(Path(sys.argv[1]), json.loads(sys.argv[2]), stage="train_joint", step=0)
stage_run.log_point(0, {"loss": 1.0})
"""


def test_two_processes_open_a_fresh_store(tmp_path: Path) -> None:
    both = [PARAMS | {"seed": seed} for seed in (1, 2)]
    processes = [start(OPEN, str(tmp_path), json.dumps(params)) for params in both]
    assert [process.communicate()[1] for process in processes] == ["", ""]
    for params in both:
        (run,) = runs_of(tmp_path, params)
        assert points(tmp_path, run)["train_joint/loss"] == [(0, 1.0)]


def test_alarm_of_a_stage_from_the_cache(root: Path, params: dict[str, Any], outputs: tracking.Outputs) -> None:
    """The columns that only newer curves have are empty cells, or not there."""
    write_curve(outputs.report.curve("train_joint"), joint_curve(HEALTHY | {"val_diversity": 0.9}, *[WON] * 3))
    write_curve(outputs.report.curve("pretrain_generator"), joint_curve(*[WON] * 3))
    tracking.complete_run(root, params, outputs)
    (run,) = runs_of(root, params)
    assert [key for key in run.data.tags if key.startswith("alarm.")] == ["alarm.discriminator_won"]
