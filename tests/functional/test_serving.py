"""The registered model behind MLflow's own server gives the completions that the library gives."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from glcic import paths, tracking
from glcic.inference.completer import Completer
from glcic.tracking.model import REGISTERED
from support.servers import free_port, serving
from support.store import PARAMS, SUMMARY, finished


@pytest.mark.long
def test_served_model_completes_as_the_library_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    outputs = finished(tmp_path / "outputs", 1, 24.0)
    assert tracking.complete_run(tmp_path, PARAMS, outputs)
    tracking.choose_champion(tmp_path, PARAMS, SUMMARY)
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    serve = (
        f"-m mlflow models serve -m models:/{REGISTERED}@champion --env-manager local --host 127.0.0.1 --port {port}"
    )
    command = [sys.executable, *serve.split()]
    store = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"}
    with serving(command, tmp_path, f"{address}/ping", tmp_path / "log", store) as session:
        rng = np.random.default_rng(0)
        image = rng.integers(0, 256, (2, 3, 24, 20), dtype=np.uint8)
        mask = np.zeros((2, 1, 24, 20), dtype=np.uint8)
        mask[:, :, 5:15, 4:12] = 1
        sent = {"inputs": {"image": image.tolist(), "mask": mask.tolist()}}
        answer = session.post(f"{address}/invocations", json=sent, timeout=60)
        assert answer.status_code == 200, answer.text
        expected = Completer(outputs.folder / paths.GENERATOR)(image, mask)
        assert np.array_equal(np.array(answer.json()["predictions"]), expected)
        white = {"inputs": {"image": image.tolist(), "mask": (255 * mask.astype(int)).tolist()}}
        answer = session.post(f"{address}/invocations", json=white, timeout=60)
        assert np.array_equal(np.array(answer.json()["predictions"]), expected)
        large = {"inputs": {"image": image.tolist(), "mask": (1 - mask).tolist()}}
        answer = session.post(f"{address}/invocations", json=large | {"params": {"allow_large": True}}, timeout=60)
        assert answer.status_code == 200, answer.text
        for images, masks, complaint in (
            (image, 0.5 * mask, "masks have the value 0.5"),  # MLflow would cut it to 0 for a type of whole numbers
            (image, mask + mask, "masks have the value 2"),
            (image / 255, mask, "send values from 0 to 255, not from 0 to 1"),
            (image, 1 - mask, "is it inverted?"),
        ):
            wrong = {"inputs": {"image": images.tolist(), "mask": masks.tolist()}}
            refused = session.post(f"{address}/invocations", json=wrong, timeout=60)
            assert refused.status_code == 400
            assert complaint in refused.text
        refused = session.post(f"{address}/invocations", json={"inputs": {"image": image.tolist()}}, timeout=60)
        assert refused.status_code == 400
        assert "mask" in refused.text


@pytest.mark.long
def test_remote_store_by_its_address_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The server goes down while a stage trains: one warning; when it is back, what it missed is uploaded."""
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "60")
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder, elsewhere = tmp_path / "project", tmp_path / "server"
    folder.mkdir()
    elsewhere.mkdir()
    store = ["--backend-store-uri", f"sqlite:///{elsewhere / 'store.db'}", "--artifacts-destination", str(elsewhere)]
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
        *store,
    ]
    outputs = finished(folder / "outputs", 1, 24.0)
    outputs.report.curves.mkdir()
    outputs.report.curve("train_joint").write_text("step,loss\n1,1.0\n2,0.5\n3,0.25\n")

    with serving(command, elsewhere, f"{address}/health", tmp_path / "log"):
        stage_run = tracking.open_run(folder, PARAMS, stage="train_joint", step=0)
        assert stage_run is not None
        stage_run.log_point(1, {"loss": 1.0, "images_per_second": 5.0})
    assert capfd.readouterr().err == ""
    stage_run.log_point(2, {"loss": 0.5, "images_per_second": 5.0})
    stage_run.log_point(3, {"loss": 0.25, "images_per_second": 5.0})
    stage_run.finish(outputs.models("train_joint"))
    assert tracking.complete_run(folder, PARAMS, outputs) is None
    warnings = capfd.readouterr().err.splitlines()
    assert len(warnings) == 2, warnings  # one of the training, one of the attempt to complete
    assert all(line.startswith("warning: MLflow: ") for line in warnings)

    with serving(command, elsewhere, f"{address}/health", tmp_path / "log"):
        assert tracking.complete_run(folder, PARAMS, outputs)
        client = MlflowClient(address)
        experiment = client.get_experiment_by_name("glcic")
        assert experiment is not None
        (run,) = client.search_runs([experiment.experiment_id])
        history = client.get_metric_history(run.info.run_id, "train_joint/loss")
        assert [(point.step, point.value) for point in history] == [(1, 1.0), (2, 0.5), (3, 0.25)]
        assert run.data.metrics["val/center/psnr"] == 24.0
        assert len(client.search_model_versions(f"run_id = '{run.info.run_id}'")) == 1
    assert not (folder / "mlflow.db").exists()
