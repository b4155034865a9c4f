"""Small report, and a change to one of its numbers."""

import json
from pathlib import Path
from typing import Any

from glcic.evaluation.tables import write_methods


def write_report(folder: Path, psnr: float | None = 26.4) -> Path:
    """Write a report of seven numbers, some of them undefined."""
    (folder / "curves").mkdir(parents=True)
    (folder / "curves/train_joint.csv").write_text("step\n2\n")
    metrics = {"test": {"l1_hole": 6.5, "psnr": psnr, "ssim": None}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    scores: dict[str, float | None] = {"l1_hole": 14.0, "l1": 3.5, "psnr": None, "ssim": 0.7}
    (folder / "methods.csv").write_text(write_methods({"center": {"telea": scores}}, {"center": {"telea": 4}}))
    return folder


def change(report: Path, difference: float) -> None:
    """Change a reported number by hand: mean PSNR of `completion` on the test split."""
    metrics: dict[str, Any] = json.loads((report / "metrics.json").read_text())
    metrics["test"]["psnr"] += difference
    (report / "metrics.json").write_text(json.dumps(metrics))
