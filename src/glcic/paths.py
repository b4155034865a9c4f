"""Paths of the project, relative to its root, and names of the stages and splits.

No stage depends on this file: dvc.yaml names the same outputs, DVC compares those, and a test checks that both agree.
"""

import os
from pathlib import Path

SPLITS = ("train", "val", "test")
TRAINING_STAGES = ("pretrain_generator", "pretrain_discriminators", "train_joint")
STAGES = ("download", "crop", *TRAINING_STAGES, "evaluate", "report")

PARAMS, STAGES_FILE, LOCK = Path("params.yaml"), Path("dvc.yaml"), Path("dvc.lock")
PRESETS, COMPARISON = Path("presets"), Path("comparison.yaml")

RAW = Path("data/raw")  # images of the source, in the layout of CelebA
SOURCE = RAW / "source.json"  # what they were made of, by content
IMAGES = Path("data/images")  # packed images
IMAGES_ARRAY, IMAGES_INDEX, IMAGES_SKIPPED = IMAGES / "images.npy", IMAGES / "index.csv", IMAGES / "skipped.csv"
IMAGES_SUMMARY = IMAGES / "summary.json"

MODELS = Path("models")
# Weights that later stages start from or evaluate.
PRETRAINED = MODELS / "pretrain_generator" / "generator_best.safetensors"
DISCRIMINATOR = MODELS / "pretrain_discriminators" / "discriminator_last.safetensors"
GENERATOR = MODELS / "train_joint" / "generator_last.safetensors"
CARD = MODELS / "model_card.md"

# What determines a result besides data and parameters.
CODE = ("dvc.yaml", "pipeline", "src")
CODE_VERSIONS = "code.json"  # in a kept report: stages that several versions of the code trained

# `dvc exp run --temp` works in a copy; files that outlive a run stay in the real project.
ROOT = Path(os.environ.get("DVC_ROOT", "."))
STATE_DIR = ROOT / ".glcic"  # checkpoints, downloads, locks, digests of the user's files


def given(path: str | Path) -> Path:
    """A file or folder that the user named: as it is named if it exists, otherwise below the real project.

    So a folder that git ignores is found from the copy in which `dvc exp run --temp` works, and a file in git has the
    version of the experiment.
    """
    path = Path(path).expanduser()
    return path if path.exists() else ROOT / path


def named(variable: str, parameter: str | None) -> Path | None:
    """The file or folder that an environment variable names, or else a parameter; None if neither does."""
    path = os.environ.get(variable) or parameter
    return given(path) if path else None


class ReportFolder:
    """Paths of the files of a report: in `reports/`, where the stages write them, or in the folder of a kept report."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.params = folder / "params.yaml"  # of a kept report; otherwise the project's params.yaml applies
        self.metrics = folder / "metrics.json"
        self.methods = folder / "methods.csv"  # mean scores of all methods on the test split
        self.validation = folder / "validation.csv"  # mean scores of our method on the validation split
        self.scores = folder / "scores.csv"  # scores of every image
        self.looks = folder / "looks.csv"  # scores of whole mask sets, also without each group of people
        self.manifest = folder / "masks.csv"  # the mask sets and their hashes
        self.masks = folder / "masks.npz"  # the masks themselves
        self.intervals = folder / "intervals.csv"
        self.differences = folder / "differences.csv"
        self.slices = folder / "slices.csv"
        self.tolerances = folder / "tolerances.json"
        self.made_on = folder / "made_on.json"  # what the stages ran on; no output of DVC
        self.page = folder / "index.html"
        self.curves = folder / "curves"
        self.samples = folder / "samples"
        self.gallery = folder / "gallery"
        self.figures = folder / "figures"
        self.figure = folder / "figures/completions.png"
        self.kept_figure = folder / "completions.png"  # of a kept report

    def curve(self, stage: str) -> Path:
        """Path of the learning curve of a training stage."""
        return self.curves / f"{stage}.csv"

    def sample(self, stage: str) -> Path:
        """Path of the sample grid of a training stage."""
        return self.samples / f"{stage}.png"


REPORT = ReportFolder(Path("reports"))
