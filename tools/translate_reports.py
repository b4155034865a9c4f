"""Translation of reports from version 0.1 to the names of version 0.2: python tools/translate_reports.py [FOLDER].

No number changes:

- Curves, tables, params.yaml and texts get the new names of columns, parameters and terms.
- metrics.json, which had the scores of every mask set, becomes validation.csv and means over the mask sets. The
  tolerance of a mean is the mean of the tolerances, which the spread of the mean cannot exceed.
- SHA256SUMS loses the hashes of files whose bytes change with the names, and says so.

A second run changes nothing.
"""

import csv
import io
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from glcic import paths
from glcic.evaluation.tables import Scores, headline, write_methods
from glcic.experiments.presets import dumped, preset_tree
from glcic.files import write_text
from glcic.paths import ReportFolder
from glcic.renamed import translated

CURVE = {
    "images": "images_seen",
    "schedule": "lr_factor",
    "reconstruction": "g_loss_rec",
    "adversarial": "g_loss_adv",
    "alpha": "adv_weight",
    "discriminator_real": "d_loss_real",
    "discriminator_completed": "d_loss_fake",
    "r1": "r1_penalty",
    "skipped": "d_skipped",
    "val_accuracy_real": "val_d_acc_real",
    "val_accuracy_completed": "val_d_acc_fake",
    "val_gradient_reconstruction": "val_grad_norm_rec",
    "val_gradient_adversarial": "val_grad_norm_adv",
    "val_gradient_ratio": "val_grad_norm_ratio",
    "val_variety": "val_diversity",
}
SCORES = {"ratio": "area_ratio", "border": "margin"}
MANIFEST = {"faces_sha256": "images_sha256"}
# Files that are byte-identical under their new name; the hashes of the others no longer match.
MOVED = {"data/faces/faces.npy": "data/images/images.npy", "data/faces/index.csv": "data/images/index.csv"}
CHANGED = ("completion_best.safetensors", "completion_last.safetensors", "scores.csv")
WORDS = {  # in pages, cards and Markdown tables
    "# Completion network `": "# Generator `",
    "completion network": "generator",
    "completion_last.safetensors": "generator_last.safetensors",
    "Trained on holes of the kind `box` (sides [": "Trained on masks of the kind `box` (size_range [",
    ", border 4, number [1, 1])": ", margin 4, num_boxes [1, 1])",
    "`context` (width": "`global_local` (width_multiplier",
    "global_convolutions": "global_layers",
    "local_convolutions": "local_layers",
    "labels fused": "head fused",
    "hole ratio": "hole area",
    "sets of holes": "mask sets",
    "Sets of holes": "Mask sets",
    "sides of the holes": "size of the masks",
    "where the holes are": "positions of the masks",
    "SHA-256 of the holes": "SHA-256 of the masks",
    "with the same holes": "with the same masks",
    "Holes are drawn once": "Masks are drawn once",
    "Holes that were scored": "Masks that were scored",
    "variety of completions": "diversity of completions",
    "learnt": "learned",
    "recognise": "recognize",
    "optimisers": "optimizers",
    "`python -m pipeline.compare comparison.yaml`": "`glcic compare comparison.yaml`",
    "`runtime.threads: 1`": "`runtime.num_threads: 1`",
}
SAID = "# Hashes of the weights and of scores.csv were removed with version 0.2: new names change these files' bytes.\n"


def translate(folder: Path) -> None:
    """Translate a report folder and the reports kept in it."""
    report = ReportFolder(folder)
    for curve in [*report.curves.glob("*.csv"), *(folder / "ablation").glob("*.csv")]:
        _rename_columns(curve, CURVE)
    _rename_columns(report.scores, SCORES)
    _rename_columns(report.manifest, MANIFEST)
    if report.slices.exists():
        text = report.slices.read_text(encoding="utf-8")
        for old, new in SCORES.items():
            text = re.sub(rf"(?m)^([^,]*,[^,]*),{old},", rf"\1,{new},", text)
        write_text(report.slices, text)
    _split_metrics(report)
    _translate_tolerances(report)
    _translate_seeds(folder / "seeds.csv")
    for path in [*folder.glob("*.md"), report.page]:
        if path.exists():
            _replace_words(path)
    if report.params.exists():
        tree = translated(YAML(typ="safe").load(report.params))
        text, _ = dumped(preset_tree(paths.PRESETS, [(report.params, tree)], Path("no such file")))
        write_text(report.params, text)
    if (sums := folder / "SHA256SUMS").exists():
        _translate_sums(sums)
    for kept in folder.glob("*/metrics.json"):
        translate(kept.parent)


def _rename_columns(path: Path, names: Mapping[str, str]) -> None:
    if path.exists():
        header, _, rows = path.read_text(encoding="utf-8").partition("\n")
        write_text(path, ",".join(names.get(name, name) for name in header.split(",")) + "\n" + rows)


def _split_metrics(report: ReportFolder) -> None:
    """metrics.json: {split: {mask set: {metric: value}}} → validation.csv, and {split: {metric: mean}}."""
    metrics = json.loads(report.metrics.read_text(encoding="utf-8"))
    if "psnr" in metrics["val"]:
        return
    val, test = (_by_method(metrics[split]) for split in ("val", "test"))
    write_text(report.validation, write_methods(val))
    write_text(report.metrics, json.dumps(headline(val, test), indent=2) + "\n")


def _by_method(sets: Mapping[str, Scores]) -> dict[str, dict[str, Scores]]:
    """{mask set: scores} of our method, as a table of methods has it."""
    return {mask_set: {"completion": scores} for mask_set, scores in sets.items()}


def _translate_tolerances(report: ReportFolder) -> None:
    if not report.tolerances.exists():
        return
    tree: dict[str, Any] = json.loads(report.tolerances.read_text(encoding="utf-8"))
    if report.validation.name in tree:
        return
    val, test = (_by_method(tree["metrics.json"][split]) for split in ("val", "test"))
    about = tree["about"].replace("the holes", "the masks")
    new = {
        "about": about + " Of a mean over the mask sets, the mean of their tolerances.",
        "metrics.json": headline(val, test),
        report.validation.name: val,
        "methods.csv": tree["methods.csv"],
    }
    write_text(report.tolerances, json.dumps(new, indent=2) + "\n")


def _translate_seeds(path: Path) -> None:
    """Add the means over the mask sets, which a report's metrics.json has now."""
    if not path.exists():
        return
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    if any(row["mask_set"] == "all" for row in rows):
        return
    splits: dict[str, dict[str, dict[str, dict[str, Scores]]]] = {}
    for row in rows:
        if row["method"] == "completion":
            of_set = splits.setdefault(row["seed"], {"val": {}, "test": {}})[row["split"]]
            scores = of_set.setdefault(row["mask_set"], {"completion": {}})["completion"]
            scores[row["metric"]] = float(row["value"]) if row["value"] else None
    means = [
        [seed, split, "all", "completion", metric, mean]
        for seed, of_seed in splits.items()
        for split, by_metric in headline(of_seed["val"], of_seed["test"]).items()
        for metric, mean in by_metric.items()
    ]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([[*rows[0]], *means, *([*row.values()] for row in rows)])
    write_text(path, text.getvalue())


def _replace_words(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for old, new in WORDS.items():
        text = text.replace(old, new)
    if path.name == paths.CARD.name:  # SHA-256 of the weights
        text = re.sub(r"\| SHA-256 \| `\w+` \|\n", "", text)
    write_text(path, text)


def _translate_sums(path: Path) -> None:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if not line.startswith("#")]
    held = [line for line in lines if not line.strip().endswith(CHANGED)]
    text = "".join(held)
    for old, new in MOVED.items():
        text = text.replace(old, new)
    write_text(path, SAID + text)


if __name__ == "__main__":
    translate(Path(sys.argv[1]) if len(sys.argv) > 1 else paths.REPORT.folder)
