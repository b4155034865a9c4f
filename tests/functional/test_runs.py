"""One complete run in MLflow for every configuration, however DVC ran it: real experiments in a real queue."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from support.project import Project
from support.store import artifacts, client_of

pytestmark = pytest.mark.long
DVC = (sys.executable, "-m", "dvc")
STAGES = ("pretrain_generator", "pretrain_discriminators", "train_joint")
KINDS = ("params.yaml", "dvc.lock", "tables/methods.csv", "figures/completions.png")


@pytest.fixture
def tracked(tmp_path: Path) -> Project:
    """A tiny project with tracking on, from whose commit experiments can start."""
    project = Project(tmp_path / "project", {"tracking": {"enabled": True}})
    for name, value in {"user.name": "test", "user.email": "test@example.org"}.items():
        project.git("config", name, value)
    (project.folder / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
    project.git("add", "-A")
    project.git("commit", "-qm", "ignore")
    return project


def runs_of(project: Project) -> dict[str, Any]:
    client = client_of(project.folder)
    experiment = client.get_experiment_by_name("glcic").experiment_id
    return {run.info.run_name: run for run in client.search_runs([experiment])}


def assert_complete(project: Project, run: Any) -> None:
    """Parameters, curves, scores, pictures, environment, data and model of a tiny pipeline are there, and once."""
    assert run.info.status == "FINISHED"
    assert run.data.params["train_joint.adv_weight"]
    assert run.data.params["masks.size_range"] == "[6, 8]"
    client = client_of(project.folder)
    for stage in STAGES:
        assert run.data.tags[f"glcic.finished.{stage}"] == "true"
        for name in ("images_seen", "images_per_second", "seconds"):
            history = client.get_metric_history(run.info.run_id, f"{stage}/{name}")
            assert [point.step for point in history] == [2, 4, 6], (stage, name)
    for name in ("val/center/psnr", "test/center/psnr", "test/box/ssim", "test/center/l1_hole", "train_joint/val_psnr"):
        assert name in run.data.metrics
    files = list(artifacts(project.folder, run))
    assert set(KINDS) <= set(files)
    for stage in STAGES:
        assert f"environment/{stage}.json" in files
    for stage in ("pretrain_generator", "train_joint"):
        sliders = [name for name in files if name.startswith(f"images/{stage}+") and name.endswith(".png")]
        assert sorted(name.split("+step+")[1].split("+")[0] for name in sliders) == ["2", "4", "6"]
    (data,) = run.inputs.dataset_inputs
    assert data.dataset.name == "synthetic-16"
    (version,) = client.search_model_versions(f"run_id = '{run.info.run_id}'")
    assert float(version.tags["test/center/psnr"]) == pytest.approx(run.data.metrics["test/center/psnr"], abs=1e-3)
    assert json.loads(run.data.tags["git.dirty"]) is False
    assert run.data.tags["dvc.models/train_joint"].endswith(".dir")


def test_two_workers_on_a_fresh_store(tracked: Project) -> None:
    """Two queued experiments at once; they share the stages before the joint one, and the store that neither finds."""
    tracked.run(*DVC, "exp", "run", "--queue", "--name", "grid", "-S", "train_joint.adv_weight=0.125,0.25")
    assert not (tracked.folder / "mlflow.db").exists()
    # No pipe: the workers that it leaves behind would keep one open.
    start = [*DVC, "queue", "start", "--jobs", "2"]
    subprocess.run(start, cwd=tracked.folder, env=tracked.environment, check=True, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 600
    while "Running" in (status := tracked.run(*DVC, "queue", "status")) or "Queued" in status:
        assert time.monotonic() < deadline, status
        time.sleep(2)
    assert status.count("Success") == 2, status

    runs = runs_of(tracked)
    assert sorted(runs) == ["grid-1", "grid-2"]
    assert {run.data.params["train_joint.adv_weight"] for run in runs.values()} == {"0.125", "0.25"}
    for run in runs.values():
        assert_complete(tracked, run)
    printed = tracked.run(
        "glcic", "sync"
    )  # knows the hash of the last stage's outputs as well, and nothing else is new
    lines = [f"MLflow: run {name} complete (make ui)" for name in ("grid-1", "grid-2")]
    assert sorted(printed.splitlines()) == lines
    for name, run in runs_of(tracked).items():
        assert run.data.metrics == runs[name].data.metrics
        assert run.data.tags["dvc.reports/scores.csv"]
        assert_complete(tracked, run)
    assert tracked.run("glcic", "sync") == ""


def test_runs_after_a_cached_an_elsewhere_and_a_forced_run(tracked: Project) -> None:
    """In the workspace; elsewhere, the first stages from the cache; with nothing but the cache; and forced."""
    tracked.repro()
    tracked.run(*DVC, "exp", "run", "--temp", "--name", "elsewhere", "-S", "train_joint.adv_weight=0.125")
    runs = runs_of(tracked)
    (workspace,) = [run for name, run in runs.items() if name != "elsewhere"]
    assert runs["elsewhere"].data.tags["glcic.cached.pretrain_generator"] == workspace.info.run_name
    assert "glcic.cached.train_joint" not in runs["elsewhere"].data.tags
    for run in runs.values():
        assert_complete(tracked, run)

    client_of(tracked.folder).delete_run(runs["elsewhere"].info.run_id)
    tracked.run("glcic", "sync")  # as if it had been tracked nowhere: everything from git, and from DVC's cache
    again = runs_of(tracked)["elsewhere"]
    assert again.data.tags["glcic.cached.train_joint"] == "unknown"
    assert again.data.metrics["test/center/psnr"] == runs["elsewhere"].data.metrics["test/center/psnr"]

    tracked.repro("--force")
    client = client_of(tracked.folder)
    mark = f"tags.`glcic.fingerprint` = '{workspace.data.tags['glcic.fingerprint']}'"
    both = client.search_runs([workspace.info.experiment_id], mark)
    assert len(both) == 2
    for run in both:
        assert_complete(tracked, run)
