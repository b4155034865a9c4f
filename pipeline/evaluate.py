"""Stage 6: score the trained networks and classical baselines on the test split."""

import json
import shutil
import time
from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from glcic import paths
from glcic.data.faces import Faces
from glcic.evaluation.definitions import METHODS
from glcic.evaluation.figures import chosen, completions_figure, write_tiles
from glcic.evaluation.mask_sets import MaskSet, draw_all, in_white, manifest, shown, store
from glcic.evaluation.scorer import Evaluation, Methods
from glcic.evaluation.tables import headline, means_of, write_methods
from glcic.files import write_csv, write_text
from glcic.inference.blending import blend
from glcic.inference.classical import NearestTrainingImage, biharmonic, inpaint, mean_fill
from glcic.inference.completer import Completer
from glcic.params import Params, load
from glcic.tracking import Outputs, complete_row
from glcic.training.finished import settle
from pipeline import stage


def main(params: Params) -> None:
    """Write reports/masks.csv, metrics.json, methods.csv, scores.csv, the masks, and the figures.

    The test split is scored with every method; the validation split, by which configurations are chosen, with the
    last phase's completion network alone.
    """
    section = params.evaluate
    configuration = load(paths.PARAMS)  # at once: somebody may edit the file for the next run while this one goes on
    started = time.monotonic()
    faces = {split: Faces(paths.FACES, split) for split in ("val", "test")}
    methods = _methods(section.batch, faces["test"].mean_pixel)
    settle(paths.SCRATCH, "train_joint", paths.COMPLETION.parent)
    sets = {split: draw_all(section, len(of), of.size) for split, of in faces.items()}
    store(paths.REPORT.masks, sets)
    write_csv(paths.REPORT.manifest, manifest(sets, section.mask_seed, faces["test"].summary["sha256"]))
    with Evaluation(methods, batch=section.batch, processes=params.runtime.threads, extra=section.extra) as evaluation:
        val = [evaluation.scores(faces["val"], holes, alone="completion") for holes in sets["val"]]
        test = [evaluation.scores(faces["test"], holes) for holes in sets["test"]]
    of_split = [table.assign(split=split) for split, found in (("val", val), ("test", test)) for table, _ in found]
    scores = pd.concat(of_split, ignore_index=True)
    scores.insert(0, "split", scores.pop("split"))
    write_csv(paths.REPORT.scores, scores.replace([np.inf, -np.inf], np.nan), float_format="%.6g")
    write_text(paths.REPORT.methods, write_methods(means_of(test)))
    write_text(paths.REPORT.metrics, json.dumps(headline(means_of(val), means_of(test)), indent=2) + "\n")
    _draw_figure(faces["test"], sets["test"], methods, section.figure_rows)
    _write_gallery(faces["test"], sets["test"], scores, methods, section.gallery)
    seconds = time.monotonic() - started
    complete_row(
        paths.ROOT,
        configuration.model_dump(mode="json"),
        Outputs(evaluation={"seconds": seconds, "images_per_second": len(scores) / seconds}),
    )


def _methods(batch: int, mean_pixel: Sequence[float]) -> Methods:
    """All methods of the tables: the trained networks, and what needs no training."""
    completion, pretrained = Completer(paths.COMPLETION), Completer(paths.PRETRAINED)
    return Methods(
        {
            "completion": partial(completion, batch=batch),
            **({"pretrained": partial(pretrained, batch=batch)} if pretrained.steps else {}),  # or phase skipped
            "mean_fill": partial(mean_fill, mean_pixel=mean_pixel),
            "telea": partial(inpaint, method="telea"),
            "navier_stokes": partial(inpaint, method="navier_stokes"),
            "biharmonic": biharmonic,
        },
        refinements={"blended": ("completion", blend)},
        of_blocks={"nearest": NearestTrainingImage(Faces(paths.FACES, "train"))},
    )


def _draw_figure(faces: Faces, sets: Sequence[MaskSet], methods: Methods, rows: int) -> None:
    """A few test images, spread over the split; the mask sets take turns."""
    items, masks = shown(sets, rows)
    truth = faces.read(items)
    completed = methods.complete(truth, masks)
    columns = {
        "input": in_white(truth, masks),
        **{METHODS[name]: completed[name] for name in reversed(completed)},
        "ground truth": truth,
    }
    completions_figure(paths.REPORT.figure, columns)


def _write_gallery(faces: Faces, sets: Sequence[MaskSet], scores: pd.DataFrame, methods: Methods, k: int) -> None:
    """Best, median and worst completions of each mask set, by the last network: input, completed, ground truth."""
    if paths.REPORT.gallery.exists():
        shutil.rmtree(paths.REPORT.gallery)
    tables = []
    own = scores[(scores["split"] == "test") & (scores["method"] == "completion")]
    for holes in sets:
        found = chosen(own[own["mask_set"] == holes.name], k)
        items = found.pop("item").to_numpy()
        if len(items):
            truth, masks = faces.read(items), holes.masks[items]
            completed = methods.of_parts["completion"](truth, masks)
            tiles = np.stack([in_white(truth, masks), completed, truth], axis=1)
            write_tiles(paths.REPORT.gallery / f"{holes.name}.png", tiles)
        tables.append(found.assign(mask_set=holes.name))
    table = pd.concat(tables, ignore_index=True).replace([np.inf, -np.inf], np.nan)
    table.insert(0, "mask_set", table.pop("mask_set"))
    write_csv(paths.REPORT.gallery / "index.csv", table, float_format="%.6g")


if __name__ == "__main__":
    stage.run("evaluate", main)
