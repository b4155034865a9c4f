"""Search for a recipe on the validation split: candidates are trained one after another, and their networks scored.

The search file has groups of candidates; each candidate is an overlay on the group's overlay on presets/default.yaml.
Nothing is scored on the test split. A candidate whose rows exist, with the same parameters, is not trained again. The
means are printed as a table at the end. params.yaml is overwritten, so run it in a clone of its own:

    python tools/search.py tools/search.yaml reports/search.csv
"""

import hashlib
import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

from glcic import paths
from glcic.data.packed import PackedImages
from glcic.evaluation.mask_sets import draw
from glcic.evaluation.scorer import Methods, Scorer
from glcic.experiments.presets import preset_tree, read_tree, write_params
from glcic.files import write_csv
from glcic.inference.completer import Completer
from glcic.params import load, plain
from glcic.report.formatting import markdown

METRICS = ["psnr", "ssim", "l1_hole"]
SHOWN = ["center", "box", "half", "strokes_10_20", "strokes_50_60"]
MEANS = {"psnr": 3, "ssim": 4, "swd": 1, "seam": 2, "gradient": 3}  # and their digits


def main(file: Path, table: Path) -> None:
    """Train and score every candidate of a search file that has no row in the table yet."""
    search = read_tree(YAML(typ="safe"), file)
    rows = pd.read_csv(table) if table.exists() else pd.DataFrame({"group": [], "candidate": [], "parameters": []})
    for group, section in search.items():
        for candidate, overlay in section["candidates"].items():
            overlays: list[tuple[Path, Any]] = [(file, section["base"]), (file, overlay or {})]
            write_params(preset_tree(paths.PRESETS, overlays, paths.PARAMS), paths.PARAMS)
            used = fingerprint()
            same = rows[(rows["group"] == group) & (rows["candidate"] == candidate) & (rows["parameters"] == used)]
            if len(same):
                continue
            print(f"{time.strftime('%H:%M:%S')} {group} {candidate}", flush=True)
            started = time.monotonic()
            subprocess.run(["dvc", "repro", "--quiet", section["stage"]], check=True)
            minutes = (time.monotonic() - started) / 60
            folder = paths.MODELS / section["stage"]
            scores = score(folder / section["weights"], section["mask_sets"])
            about = {"group": group, "candidate": candidate, "parameters": used, "minutes": round(minutes, 1)}
            new = scores.assign(**about)[[*about, *scores.columns]]
            rows = rows[~((rows["group"] == group) & (rows["candidate"] == candidate))]
            rows = pd.concat([rows, new], ignore_index=True)
            write_csv(table, rows, float_format="%.6g")
    print(summary(rows))


def summary(rows: pd.DataFrame) -> str:
    """Table of the candidates in Markdown: PSNR on some mask sets, then means over all mask sets of the group."""
    cells = []
    for (group, candidate), of_one in rows.groupby(["group", "candidate"], sort=False):
        by_set = of_one.set_index("mask_set")
        psnr = [f"{by_set['psnr'][name]:.2f}" if name in by_set.index else "–" for name in SHOWN]
        means = [f"{of_one[name].mean():.{digits}f}".replace("nan", "–") for name, digits in MEANS.items()]
        cells.append([str(group), str(candidate), *psnr, *means])
    return markdown(["group", "candidate", *SHOWN, *(f"mean {name}" for name in MEANS)], cells)


def fingerprint() -> str:
    """First digits of the SHA-256 of the parameters that training depends on."""
    params = load(paths.PARAMS)
    stages = YAML(typ="safe").load(paths.STAGES_FILE)["stages"]
    listed = {name: plain(params, name) for stage in paths.TRAINING_STAGES for name in stages[stage]["params"]}
    return hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()[:12]


def score(weights: Path, mask_sets: list[str]) -> pd.DataFrame:
    """Mean scores of a generator on the validation split, a row per mask set."""
    params = load(paths.PARAMS)
    val = PackedImages(paths.IMAGES, "val")
    methods = Methods({"completion": partial(Completer(weights), batch_size=32, allow_large=True)})
    found = []
    with Scorer(methods, batch_size=32, processes=params.runtime.num_threads) as scorer:
        for name in mask_sets:
            scored = scorer.score(val, draw(name, params.evaluate.mask_seed, len(val), val.image_size))
            found.append({"mask_set": name, **scored.images[METRICS].mean().to_dict(), **scored.sets["completion"]})
    return pd.DataFrame(found)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
