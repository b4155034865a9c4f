"""Every path of the project, relative to its root, and the names of stages and splits.

No stage lists this file: dvc.yaml names the same outputs, DVC compares those, and a test holds the two together.
"""

import os
from pathlib import Path

SPLITS = ("train", "val", "test")
TRAINING_STAGES = ("pretrain_generator", "pretrain_discriminators", "train_joint")
STAGES = ("download", "crop", *TRAINING_STAGES, "evaluate", "report")

PARAMS, STAGES_FILE, LOCK = Path("params.yaml"), Path("dvc.yaml"), Path("dvc.lock")
PRESETS, COMPARISON = Path("presets"), Path("comparison.yaml")

RAW = Path("data/raw")  # the source's images, in CelebA's own layout
FACES = Path("data/faces")  # packed
FACES_ARRAY, FACES_INDEX, FACES_REFUSED = FACES / "faces.npy", FACES / "index.csv", FACES / "refused.csv"
FACES_SUMMARY = FACES / "summary.json"

MODELS = Path("models")
# The weights that later stages start from or score.
PRETRAINED = MODELS / "pretrain_generator" / "completion_best.safetensors"
DISCRIMINATOR = MODELS / "pretrain_discriminators" / "discriminator_last.safetensors"
COMPLETION = MODELS / "train_joint" / "completion_last.safetensors"
CARD = MODELS / "model_card.md"

# What decides a result beside data and parameters.
CODE = ("dvc.yaml", "pipeline", "src")

# `dvc exp run --temp` works in a copy; what outlives a run stays with the real project.
ROOT = Path(os.environ.get("DVC_ROOT", "."))
SCRATCH = ROOT / ".glcic"  # checkpoints, downloads, locks


class ReportFolder:
    """Where the files of a report lie: in `reports/`, which the stages write, or in a folder where one was kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.params = folder / "params.yaml"  # of a kept report; the other one's are the project's
        self.metrics = folder / "metrics.json"
        self.methods = folder / "methods.csv"
        self.scores = folder / "scores.csv"  # of every image
        self.manifest = folder / "masks.csv"  # which holes were scored, and their hashes
        self.masks = folder / "masks.npz"  # the holes themselves
        self.intervals = folder / "intervals.csv"
        self.differences = folder / "differences.csv"
        self.slices = folder / "slices.csv"
        self.tolerances = folder / "tolerances.json"
        self.page = folder / "index.html"
        self.curves = folder / "curves"
        self.samples = folder / "samples"
        self.gallery = folder / "gallery"
        self.figures = folder / "figures"
        self.figure = folder / "figures/completions.png"
        self.kept_figure = folder / "completions.png"  # of a kept report

    def curve(self, stage: str) -> Path:
        """The learning curve of a training stage."""
        return self.curves / f"{stage}.csv"

    def sample(self, stage: str) -> Path:
        """The sample grid of a training stage."""
        return self.samples / f"{stage}.png"


REPORT = ReportFolder(Path("reports"))
