"""The bench: what it times is what the pipeline does, and its ratios are taken within a round."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from glcic.errors import UserError
from glcic.experiments import bench, bench_work
from glcic.experiments.bench_work import Work
from glcic.networks.layers import DilatedConv2d
from support.project import ROOT

PEER = """
import time

def steps(jpegs, image_size, local_window, hole_sides, batch_size, mean_pixel, device):
    assert len(list(jpegs.glob("*.jpg"))) == 8 + 2 + 3
    assert (image_size, local_window, hole_sides, batch_size) == (16, 8, (6, 8), 2)
    assert len(mean_pixel) == 3 and str(device) == "cpu"
    return {name: lambda: time.sleep(0.001) for name in ("pretrain_generator", "train_joint")}
"""


class Here:
    """A worker in this process, which would otherwise import torch a dozen times."""

    def __init__(self, prepare: Callable[..., Work], *args: object) -> None:
        self.work = prepare(*args)
        self.images, self.flops = self.work.images, self.work.flops

    def run(self, n: int) -> tuple[float, float]:
        return 0.5 * n, self.work.run(n)

    def close(self) -> int:
        return 10**6

    def stop(self) -> None:
        pass


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "presets", tmp_path / "presets")
    shutil.copy(ROOT / "presets/default.yaml", tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    small = {"SIZES": {"cpu": (16, 2)}, "FACES": {"train": 8, "val": 2, "test": 3}, "ROUNDS": 2, "SECONDS": 0.1}
    for name, value in {**small, "DATA_BATCH": 4, "Worker": Here}.items():
        monkeypatch.setattr(bench, name, value)
    return tmp_path


def peer(folder: Path) -> Path:
    folder.mkdir()
    (folder / "adapter.py").write_text(PEER)
    for command in (
        ["init", "-q"],
        ["remote", "add", "origin", "https://example.org/somebody/Their-GLCIC.git"],
        ["add", "."],
        ["-c", "user.name=test", "-c", "user.email=test@example.org", "commit", "-qm", "theirs"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def test_everything_is_timed_and_written(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = peer(project / "peer")
    bench.bench(theirs)
    found: dict[str, Any] = json.loads((project / "reports/bench.json").read_text())
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=theirs, capture_output=True, text=True).stdout.strip()
    assert found["peer"] == {"name": "somebody/Their-GLCIC", "commit": commit}
    assert found["image_size"] == 16
    assert found["threads"] == 2
    # Each unit takes Here half a second.
    alone = found["phases"]["pretrain_generator"]["32-true"]
    assert alone["images_per_second"] == 2 / 0.5
    assert alone["vs_peer"] == {"median": 1, "min": 1, "max": 1}
    assert found["phase1_vs_peer_16"] == found["joint_vs_peer_16"] == 1
    assert "vs_peer" not in found["phases"]["pretrain_discriminators"]["32-true"]
    assert alone["gflops_per_second"] > found["phases"]["pretrain_generator"]["32-true"]["images_per_second"] / 10
    assert found["batches_vs_jpeg"] == 1
    assert 0 <= found["wait_share"] < 1
    assert found["completion_ms"] == 500
    printed = capsys.readouterr().out
    assert "the peer is somebody/Their-GLCIC" in printed
    assert "| train_joint             | 32-true" in printed


def test_the_operations_of_a_step_are_counted(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forward, and backward to weights and inputs: three times the network's, less the first layer's input.

    Of the dilated layers, only what is done: in so small an image, a fraction.
    """
    from glcic.experiments.presets import costs

    with bench.prepared() as common:
        done = bench_work.operations(common, "pretrain_generator").flops
        monkeypatch.setattr(DilatedConv2d, "forward", nn.Conv2d.forward)
        all_taps = bench_work.operations(common, "pretrain_generator").flops
        macs = float(costs(common.params)[0].split("/")[1].split()[0]) * 1e9
    assert all_taps == pytest.approx(3 * 2 * 2 * macs, rel=0.1)
    assert 0.5 * all_taps < done < 0.9 * all_taps


def test_a_peer_without_an_adapter_is_refused(project: Path) -> None:
    with bench.prepared() as common:
        with pytest.raises(UserError, match=r"adapter\.py: no such file; write an adapter as docs/performance\.md"):
            bench_work.peer(common, project, "train_joint")
        with pytest.raises(UserError, match="has no pretrain_discriminators, only pretrain_generator, train_joint"):
            bench_work.peer(common, peer(project / "peer"), "pretrain_discriminators")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nobody_has_this", "ModuleNotFoundError: No module named 'nobody_has_this'; correct it"),
        ("", "AttributeError: module 'adapter' has no attribute 'steps'"),
        ("def steps(**settings): return None", "TypeError: 'NoneType' object is not iterable"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
    ],
)
def test_a_broken_adapter_is_one_line(project: Path, text: str, message: str) -> None:
    (project / "broken").mkdir()
    (project / "broken/adapter.py").write_text(text)
    with bench.prepared() as common, pytest.raises(UserError) as refusal:
        bench_work.peer(common, project / "broken", "train_joint")
    assert message in str(refusal.value)
    assert str(refusal.value).startswith(str(project / "broken/adapter.py"))
    assert "\n" not in str(refusal.value)


def test_a_peer_is_tried_before_anything_is_timed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "_phase", lambda *_: pytest.fail("something was timed"))
    theirs = peer(project / "peer")
    adapter = theirs / "adapter.py"
    adapter.write_text(adapter.read_text().replace('"train_joint"', '"another"'))
    with pytest.raises(UserError, match="has no train_joint"):
        bench.bench(theirs)


def test_a_worker_is_a_process_of_its_own(project: Path) -> None:
    """It can have processes that load batches."""
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("num_workers: 0", "num_workers: 1"))
    with bench.prepared() as common:
        assert common.params.runtime.num_workers == 1
        worker = bench_work.Worker(bench_work.packed_batches, common, 4)
        took, waited = worker.run(2)
        assert (worker.images, worker.flops, waited) == (4, 0, 0)
        assert took > 0
        assert worker.close() > 10**6  # bytes
        with pytest.raises(UserError, match="no such file; write an adapter"):
            bench_work.Worker(bench_work.peer, common, project, "train_joint")


def test_the_page_has_the_table_of_the_committed_measurements() -> None:
    found = json.loads((ROOT / "reports/bench.json").read_text())
    assert bench.table(found) in (ROOT / "docs/performance.md").read_text()


def test_ratios_are_taken_within_a_round() -> None:
    """A machine that becomes half as fast in the second round changes no ratio."""
    times = {"ours": [(4.0, 0.0), (2.0, 0.0)], "peer": [(2.0, 0.0), (1.0, 0.0)]}
    assert bench._ratio(times, {"ours": (3, 0), "peer": (3, 0)}, "ours", "peer") == {"median": 2, "min": 2, "max": 2}
