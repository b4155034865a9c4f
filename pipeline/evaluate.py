"""Stage 6: score the trained networks and classical baselines on the test split."""

import json
import time
from functools import partial

import numpy as np
import pandas as pd
import torch

from glcic.completion import Completer
from glcic.data.faces import Faces
from glcic.evaluation.baselines import inpaint, mean_fill
from glcic.evaluation.evaluate import Method, evaluate
from glcic.evaluation.figures import completions_figure
from glcic.evaluation.tables import headline, means, write_methods
from glcic.files import atomic
from glcic.masks import box_masks, draw_mask_set
from glcic.params import Params, load
from glcic.training.finished import settle
from pipeline import _row, _stage


def main(params: Params) -> None:
    """Write reports/metrics.json, methods.csv, scores.csv and figures/completions.png.

    The test split is scored with every method; the validation split, by which configurations are chosen, with the
    last phase's completion network alone.
    """
    section = params.evaluate
    configuration = load(_stage.PARAMS)  # at once: somebody may edit the file for the next run while this one goes on
    started = time.monotonic()
    torch.set_num_threads(params.runtime.threads)
    faces = Faces(_stage.FACES, "test")
    completion = Completer(_stage.COMPLETION)
    pretrained = Completer(_stage.PRETRAINED)
    settle(_stage.SCRATCH, "train_joint", _stage.COMPLETION.parent)
    methods: dict[str, Method] = {
        "completion": partial(completion, batch=section.batch),
        **({"pretrained": partial(pretrained, batch=section.batch)} if pretrained.steps else {}),  # or phase skipped
        "mean_fill": partial(mean_fill, mean_pixel=faces.mean_pixel),
        "telea": partial(inpaint, method="telea"),
        "navier_stokes": partial(inpaint, method="navier_stokes"),
    }
    val = _score(Faces(_stage.FACES, "val"), {"completion": methods["completion"]}, params)
    test = _score(faces, methods, params)
    _stage.REPORTS.mkdir(exist_ok=True)
    with atomic(_stage.SCORES) as temporary:
        scores = pd.concat([val.assign(split="val"), test.assign(split="test")], ignore_index=True)
        scores.insert(0, "split", scores.pop("split"))
        scores.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")
    with atomic(_stage.METHODS) as temporary:
        temporary.write_text(write_methods(means(test)))
    with atomic(_stage.METRICS) as temporary:
        temporary.write_text(json.dumps(headline(means(val), means(test)), indent=2) + "\n")
    _draw_figure(faces, methods, params)
    seconds = time.monotonic() - started
    # Here, since in the queue of experiments nothing else would run after this last stage.
    _row.complete(configuration, {"seconds": seconds, "images_per_second": len(scores) / seconds})


def _score(faces: Faces, methods: dict[str, Method], params: Params) -> pd.DataFrame:
    section = params.evaluate
    tables = [evaluate(faces, methods, name, params.seed, section.batch) for name in section.mask_sets]
    return pd.concat(tables, ignore_index=True)


def _draw_figure(faces: Faces, methods: dict[str, Method], params: Params) -> None:
    """A few test images, spread over the split; the mask sets take turns."""
    section = params.evaluate
    items = np.linspace(0, len(faces) - 1, min(section.figure_rows, len(faces))).astype(np.int64)
    sets = [draw_mask_set(name, params.seed, len(faces), faces.size) for name in section.mask_sets]
    boxes = np.stack([sets[row % len(sets)][item] for row, item in enumerate(items)])
    truth, masks = faces.read(items), box_masks(boxes, faces.size)
    shown = [n for n in ("mean_fill", "telea", "navier_stokes", "pretrained", "completion") if n in methods]
    columns = {
        "input": np.where(masks == 1, np.uint8(255), truth),
        **{name.replace("_", " "): methods[name](truth, masks) for name in shown},
        "ground truth": truth,
    }
    completions_figure(_stage.FIGURES / "completions.png", columns)


if __name__ == "__main__":
    _stage.run("evaluate", main)
