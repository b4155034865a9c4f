"""The pipeline as its users run it: real `dvc repro`, real processes, real signals, on tiny settings."""

import io
import json
import os
import shutil
import signal
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file
from torch import Tensor

from glcic.data.sources import celeba_layout as layout
from glcic.data.sources.synthetic import draw_face
from glcic.evaluation.definitions import METHODS
from glcic.evaluation.tables import read_methods
from support.project import Project

RESULTS = ("data/images/images.npy", "models/*/*", "models/*.md", "reports/*.*", "reports/*/*")


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_interrupted_training_goes_on_where_it_was(tmp_path: Path) -> None:
    """Each stage is cut by a SIGTERM to the process group, the first one also by one to DVC's own process alone."""
    stages = ("pretrain_generator", "pretrain_discriminators", "train_joint")
    longer = {stage: {"steps": 160, "validate_every": 20, "checkpoint_every": 1000} for stage in stages}
    whole, cut = Project(tmp_path / "whole", longer), Project(tmp_path / "cut", longer)
    cut.set({"runtime": {"num_workers": 1}})  # gets the signals of the group as well, and changes no result
    whole.repro("train_joint")

    for stage in stages:
        done = 0
        for kill_group in (True, False) if stage == stages[0] else (True,):
            curve = cut.folder / "reports/curves" / f"{stage}.csv"
            process = cut.start(sys.executable, "-m", "dvc", "repro", stage)

            def has_gone_on(curve: Path = curve, done: int = done) -> bool:
                return last_step(curve) > done

            wait_until(has_gone_on)
            if kill_group:
                os.killpg(process.pid, signal.SIGTERM)
            else:
                os.kill(process.pid, signal.SIGTERM)
            printed, _ = process.communicate(timeout=120)  # ends when the trainer closes its output as well
            assert process.returncode != 0
            assert f"{stage}: stopped after step" in printed, printed
            done = last_step(curve)
            assert done < 160, "it was too fast to be cut; give it more steps"
            assert not (cut.folder / "models" / stage).exists()
    printed = cut.repro("train_joint")
    assert "steps 0–" not in printed  # resumed
    results = ("models/*/*", "reports/curves/*", "reports/samples/*")
    assert cut.bytes_of(*results) == whole.bytes_of(*results)


SPEAKING_RANKS = """
import hashlib
from pathlib import Path
from pipeline import stage, training_stage, {stage} as script

def train(phase, *arguments, **options):
    yield from original(phase, *arguments, **options)
    parameters = [p.detach().numpy().tobytes() for n in phase.networks.values() for p in n.parameters()]
    digest = hashlib.sha256(b"".join(parameters)).hexdigest()
    Path(f"rank-{{phase.fabric.global_rank}}").write_text(digest)

original, training_stage.train = training_stage.train, train
stage.run("{stage}", script.main)
"""


def test_two_processes_train_as_one(project: Project) -> None:
    """Two CPU processes stand in for two GPUs; each sees its slice, and both end with the same weights."""
    adaptive = {"adv_weight": None, "adaptive_ratio": 0.5}  # α must be the same in both
    project.stage("pretrain_generator")
    project.set({"runtime": {"devices": 2}, "train_joint": adaptive})
    for stage in ("pretrain_discriminators", "train_joint"):
        script = project.folder / f"{stage}.py"
        script.write_text(SPEAKING_RANKS.format(stage=stage))
        printed = project.run(sys.executable, script.name)
        assert "2 process(es)" in printed
        assert printed.count(f"{stage} 6/6") == 1  # one of them speaks
        weights = [(project.folder / f"rank-{rank}").read_text() for rank in range(2)]
        assert weights[0] == weights[1]
    curve = pd.read_csv(project.folder / "reports/curves/train_joint.csv")
    assert curve["images_seen"].tolist() == [8, 16, 24]
    assert curve.notna().all(axis=None)


def test_two_processes_train_the_same_networks_as_one(project: Project) -> None:
    """To rounding, where no norm mixes images; with all losses, limited gradients and batches in parts."""
    both = {"max_grad_norm": 0.1, "batch_size": 8, "grad_accum_steps": 2}
    losses = both | {"reconstruction": {"edge_weight": 0.1, "ssim_weight": 0.3}}
    project.set({"networks": {"generator": {"norm": "instance"}, "discriminator": {"norm": "none"}}})
    project.set({"gan": {"r1_gamma": 1.0}, "pretrain_discriminators": both})
    project.set({"pretrain_generator": losses, "train_joint": losses})
    weights: dict[str, list[dict[str, Tensor]]] = {}
    for devices in (1, 2):
        project.set({"runtime": {"devices": devices}})
        for stage in ("pretrain_generator", "pretrain_discriminators", "train_joint"):
            shutil.rmtree(project.folder / ".glcic", ignore_errors=True)
            assert f"{devices} process(es)" in project.stage(stage)
            for path in (project.folder / "models" / stage).glob("*_last.safetensors"):
                weights.setdefault(f"{stage} {path.stem}", []).append(load_file(path))
    assert len(weights) == 4
    for name, (one, two) in weights.items():
        total = sum(float(tensor.square().sum()) for tensor in one.values())
        apart = sum(float((one[key] - two[key]).square().sum()) for key in one)
        assert (apart / total) ** 0.5 < 3e-3, name  # Adam amplifies rounding; without flips it is 0.02


def test_the_masks_of_an_evaluation_have_their_own_seed(finished: Project, tmp_path: Path) -> None:
    project, masks, manifest = finished.copy(tmp_path / "project"), "reports/masks.npz", "reports/masks.csv"
    drawn = project.bytes_of(masks, manifest)
    project.set({"seed": 1})
    for trained in project.folder.glob("models/*/params.json"):
        trained.unlink()  # or evaluate would refuse networks of another seed
    project.stage("evaluate")
    assert project.bytes_of(masks, manifest) == drawn
    project.set({"evaluate": {"mask_seed": 1}})
    project.stage("evaluate")
    tables = [pd.read_csv(io.BytesIO(table)) for table in (drawn[manifest], project.bytes_of(manifest)[manifest])]
    assert [table["seed"].unique().tolist() for table in tables] == [[0], [1]]
    same = tables[0]["sha256"] == tables[1]["sha256"]
    assert (same == (tables[0]["mask_set"] == "center")).all()  # of these sets box alone is drawn


def test_repro_on_synthetic_faces(tmp_path: Path) -> None:
    """Runs seven stages, leaves everything the README promises, then does nothing; forced, gives the same bytes."""
    project = Project(tmp_path / "project", {"tracking": {"enabled": True}})
    printed = project.repro()
    training = ["pretrain_generator", "pretrain_discriminators", "train_joint"]
    for stage in ["download", "crop", *training, "evaluate", "report"]:
        assert f"Running stage '{stage}'" in printed
    metrics = json.loads((project.folder / "reports/metrics.json").read_text())
    assert [list(metrics), *map(list, metrics.values())] == [["val", "test"], *2 * [["l1_hole", "psnr", "ssim"]]]
    validation = read_methods((project.folder / "reports/validation.csv").read_text())
    assert {name: list(scores) for name, scores in validation.items()} == {
        "center": ["completion"],
        "box": ["completion"],
    }
    methods = read_methods((project.folder / "reports/methods.csv").read_text())
    assert {name: list(scores) for name, scores in methods.items()} == {
        name: list(METHODS) for name in ("center", "box")
    }
    table = pd.read_csv(project.folder / "reports/scores.csv")
    assert table["split"].value_counts().to_dict() == {"test": 2 * len(METHODS) * 4, "val": 2 * 4}
    psnr = table.groupby(["split", "mask_set", "method"])["psnr"].mean()
    assert psnr["test", "box", "telea"] == pytest.approx(methods["box"]["telea"]["psnr"], abs=1e-4)
    assert psnr["val", "center", "completion"] == pytest.approx(validation["center"]["completion"]["psnr"], abs=1e-4)
    for split in metrics:
        both = [psnr[split, mask_set, "completion"] for mask_set in ("center", "box")]
        assert metrics[split]["psnr"] == pytest.approx(sum(both) / 2, abs=1e-4)
    for name in ("curves/pretrain_generator.csv", "curves/train_joint.csv", "curves/pretrain_discriminators.csv"):
        assert pd.read_csv(project.folder / "reports" / name)["step"].tolist() == [2, 4, 6]
    manifest = pd.read_csv(project.folder / "reports/masks.csv")
    assert manifest[["split", "mask_set"]].to_numpy().tolist() == [[s, m] for s in metrics for m in ("center", "box")]
    assert len(pd.read_csv(project.folder / "reports/gallery/index.csv")) == 2 * 3  # one best, median, worst of each
    for name in ("samples/pretrain_generator.png", "samples/train_joint.png", "figures/completions.png"):
        assert (project.folder / "reports" / name).read_bytes().startswith(b"\x89PNG")
    # Checkpoints are gone once a later stage has started, but where the rate is constant: a longer training may go on.
    left = (project.folder / ".glcic/checkpoints").glob("*/")
    assert [path.name.rpartition("-")[0] for path in left] == ["pretrain_discriminators"]

    assert "up to date" in project.repro()
    assert "| center   | completion" in project.run("glcic", "results")
    line = project.run("glcic", "sync")
    assert "complete" in line
    assert project.run("glcic", "sync") == line

    first = project.bytes_of(*RESULTS)
    project.set({"tracking": {"enabled": False}})
    project.repro("--force")
    assert project.bytes_of(*RESULTS) == first

    assert "pretrain_discriminators" in project.run(sys.executable, "-m", "dvc", "dag")
    shown = project.dvc("metrics", "show").splitlines()
    assert "test.psnr" in shown[0]
    assert max(map(len, shown)) <= 120
    project.set({"train_joint": {"adv_weight": 0.125}})
    changed = project.run(sys.executable, "-m", "dvc", "params", "diff", "HEAD", "--json")
    change = json.loads(changed)["params.yaml"]["train_joint.adv_weight"]
    assert change["new"] == 0.125
    assert change["old"] != 0.125
    project.run(sys.executable, "-m", "dvc", "plots", "show", "--out", "plots")
    page = (project.folder / "plots/index.html").read_text()
    assert "PSNR on fixed validation masks" in page
    assert "completions.png" in page


def test_repro_on_a_zip_in_celebas_layout(tmp_path: Path) -> None:
    """The local folder is named by the environment and appears in nothing that the pipeline writes."""
    from PIL import Image

    private = tmp_path / "private folder"
    private.mkdir()
    with zipfile.ZipFile(private / "img_align_celeba.zip", "w") as archive:
        for k in range(1, 13):
            with archive.open(f"img_align_celeba/{k:06d}.jpg", "w") as file:
                Image.fromarray(draw_face(1, k)).save(file, "JPEG")
    rows = "".join(f"{k:06d}.jpg {0 if k < 7 else k % 2 + 1}\r\n" for k in range(1, 31))  # more rows than images
    (private / "list_eval_partition.txt").write_text(rows)
    (private / "identity_CelebA.txt").write_text("".join(f"{k:06d}.jpg {k // 2}\n" for k in range(1, 31)))
    digest = layout.md5_of(private / "img_align_celeba.zip")
    overlay = {"download": {"source": "celeba", "celeba": {"allow_subset": True, "zip_md5": digest}}}
    project = Project(tmp_path / "project", overlay)
    # The partition is not the official one, so the real command refuses it ...
    assert "list_eval_partition.txt" in project.stage("download", expect=1, GLCIC_CELEBA=str(private))
    # ... and this one believes that it is.
    celeba = project.folder / "src/glcic/data/sources/celeba.py"
    official = {
        "list_eval_partition.txt": "d32c9cbf5e040fd4025c592c306e6668",
        "identity_CelebA.txt": "32bd1bd63d3c78cd57e08160ec5ed1e2",
    }
    for name, md5 in official.items():
        assert md5 in celeba.read_text()
        celeba.write_text(celeba.read_text().replace(md5, layout.md5_of(private / name)))
    project.repro(GLCIC_CELEBA=str(private))
    index = pd.read_csv(project.folder / "data/images/index.csv")
    assert index["split"].value_counts().to_dict() == {"train": 6, "val": 3, "test": 3}
    assert index["identity"].tolist() == [k // 2 for k in range(1, 13)]
    assert list(read_methods((project.folder / "reports/methods.csv").read_text())["center"]) == list(METHODS)
    for path in [
        project.folder / "dvc.lock",
        *(project.folder / "reports").rglob("*"),
        *project.folder.rglob("*.json"),
    ]:
        if path.is_file():
            assert private.name.encode() not in path.read_bytes()


@pytest.mark.parametrize("stage", ["pretrain_generator", "evaluate"])
def test_one_flipped_bit_of_the_images_is_found(finished: Project, tmp_path: Path, stage: str) -> None:
    project = finished.copy(tmp_path / "project")
    images = project.folder / "data/images/images.npy"
    data = bytearray(images.read_bytes())
    data[len(data) // 2] ^= 1
    images.unlink()
    images.write_bytes(data)
    printed = project.stage(stage, expect=1)
    assert "images.npy: damaged" in printed
    assert "`dvc repro --force --single-item crop`" in printed


def last_step(curve: Path) -> int:
    """The step of a curve's last point; 0 without one."""
    rows = curve.read_text().splitlines() if curve.exists() else []
    return int(rows[-1].split(",")[0]) if len(rows) > 1 else 0


@pytest.mark.parametrize(
    ("stage", "overlay", "message"),
    [
        ("crop", {"crop": {"image_size": 18}}, "params.yaml: crop.image_size"),
        ("evaluate", {}, "models/pretrain_generator: no such file; run `dvc repro`"),
        ("pretrain_generator", {"runtime": {"accelerator": "cuda"}}, "runtime.accelerator = cuda"),
        ("download", {"download": {"source": "image_folder"}}, "GLCIC_IMAGES"),
    ],
)
def test_errors_are_one_line_and_no_traceback(
    project: Project, stage: str, overlay: dict[str, object], message: str
) -> None:
    project.set(overlay)
    printed = project.stage(stage, expect=1)
    errors = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, printed
    assert message in errors[0]
    assert "Traceback" not in printed
