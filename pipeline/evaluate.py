"""Stage 6: score the trained networks and classical baselines."""

import json
import shutil
import time
from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glcic import paths
from glcic.data.packed import PackedImages
from glcic.evaluation.definitions import METHODS
from glcic.evaluation.figures import chosen, completions_figure, write_tiles
from glcic.evaluation.mask_sets import MaskSet, draw_all, in_white, manifest, shown, store
from glcic.evaluation.methods import all_methods
from glcic.evaluation.scorer import Methods, Scorer
from glcic.evaluation.tables import headline, images_of, means_of, write_methods
from glcic.files import write_csv, write_text
from glcic.inference.completer import Completer, device_of
from glcic.inference.nearest import Read, nearest_training_images
from glcic.params import Params
from glcic.tracking import Outputs, complete_run, made_on
from glcic.training.finished import settle
from pipeline import stage


def main(params: Params) -> None:
    """Write reports/masks.csv, metrics.json, methods.csv, validation.csv, scores.csv, looks.csv, masks and figures.

    All methods are scored on the test split. Only the last phase's generator is scored on the validation split, which
    serves to choose among configurations.
    """
    section = params.evaluate
    started = time.monotonic()
    packed = {split: PackedImages(paths.IMAGES, split) for split in ("val", "test")}
    packed["test"].check()
    training = PackedImages(paths.IMAGES, "train")
    device = device_of(params.runtime.accelerator)
    ran_on = made_on.begin("evaluate", made_on.machine(str(device), params.runtime))
    networks = {
        name: partial(completer, batch_size=section.batch_size, allow_large=True)
        for name, weights in (("completion", paths.GENERATOR), ("pretrained", paths.PRETRAINED))
        # A phase that was skipped has weights worth a score only if it was given some.
        if (completer := Completer(weights, device)).steps or completer.init
    }
    methods = all_methods(networks, packed["test"].mean_pixel, device)
    settle(paths.STATE_DIR, "train_joint", paths.GENERATOR.parent)
    sets = {split: draw_all(section, len(of), of.image_size) for split, of in packed.items()}
    store(paths.REPORT.masks, sets)
    write_csv(paths.REPORT.manifest, manifest(sets, section.mask_seed, packed["test"].summary["sha256"]))
    with Scorer(
        methods,
        batch_size=section.batch_size,
        processes=params.runtime.num_threads,
        extra_metrics=section.extra_metrics,
        images=section.images,
    ) as scorer:
        val = [scorer.score(packed["val"], mask_set, alone="completion") for mask_set in sets["val"]]
        of_test = nearest_training_images(
            training,
            packed["test"].read,
            [mask_set.masks for mask_set in sets["test"]],
            device=device,
            num_threads=params.runtime.num_threads,
        )
        test = [
            scorer.score(packed["test"], mask_set, given={"nearest": _chosen(training, nearest)})
            for mask_set, nearest in zip(sets["test"], of_test, strict=True)
        ]
    of_split = [one.images.assign(split=split) for split, found in (("val", val), ("test", test)) for one in found]
    scores = pd.concat(of_split, ignore_index=True)
    scores.insert(0, "split", scores.pop("split"))
    write_csv(paths.REPORT.scores, scores.replace([np.inf, -np.inf], np.nan), float_format="%.6g")
    write_csv(paths.REPORT.looks, pd.concat([one.looks for one in test]).round(6))
    for path, split, found in ((paths.REPORT.methods, "test", test), (paths.REPORT.validation, "val", val)):
        write_text(path, write_methods(means_of(found), images_of(scores[scores["split"] == split])))
    write_text(paths.REPORT.metrics, json.dumps(headline(means_of(val), means_of(test)), indent=2) + "\n")
    _draw_figure(packed["test"], sets["test"], methods, training, of_test, section.figure_rows)
    _write_gallery(packed["test"], sets["test"], scores, methods, section.gallery)
    made_on.record("evaluate", ran_on)
    seconds = time.monotonic() - started
    stage.start_of("evaluate").check()
    complete_run(
        paths.ROOT,
        stage.configuration().model_dump(mode="json"),
        Outputs(evaluation={"seconds": seconds, "images_per_second": len(scores) / seconds}),
    )


def _chosen(training: PackedImages, numbers: NDArray[np.int64]) -> Read:
    """Read for test images what was found for them: numbers of training images, (test images,)."""
    return lambda items: training.read(numbers[items])


def _draw_figure(
    packed: PackedImages,
    sets: Sequence[MaskSet],
    methods: Methods,
    training: PackedImages,
    nearest: NDArray[np.int64],
    rows: int,
) -> None:
    """Draw a few test images, spread over the split, with the mask sets in turn.

    Args:
        nearest: (mask sets, test images), numbers of the nearest training images.
    """
    items, masks = shown(sets, rows)
    truth = packed.read(items)
    found = training.read(nearest[np.arange(len(items)) % len(sets), items])
    completed = methods.complete(truth, masks, {"nearest": np.where(masks == 1, found, truth)})
    columns = {
        "input": in_white(truth, masks),
        **{METHODS[name]: completed[name] for name in reversed(completed)},
        "ground truth": truth,
    }
    completions_figure(paths.REPORT.figure, columns)


def _write_gallery(
    packed: PackedImages, sets: Sequence[MaskSet], scores: pd.DataFrame, methods: Methods, k: int
) -> None:
    """Write the best, median and worst completions of each mask set by the final network.

    A row shows input, pretrained (unless that phase was skipped), completion and ground truth.
    """
    if paths.REPORT.gallery.exists():
        shutil.rmtree(paths.REPORT.gallery)
    tables = []
    own = scores[(scores["split"] == "test") & (scores["method"] == "completion")]
    for mask_set in sets:
        found = chosen(own[own["mask_set"] == mask_set.name], k)
        items = found.pop("item").to_numpy()
        if len(items):
            truth, masks = packed.read(items), mask_set.masks[items]
            networks = [name for name in ("pretrained", "completion") if name in methods.whole]
            completed = [methods.whole[name](truth, masks) for name in networks]
            tiles = np.stack([in_white(truth, masks), *completed, truth], axis=1)
            write_tiles(paths.REPORT.gallery / f"{mask_set.name}.png", tiles)
        tables.append(found.assign(mask_set=mask_set.name))
    table = pd.concat(tables, ignore_index=True).replace([np.inf, -np.inf], np.nan)
    table.insert(0, "mask_set", table.pop("mask_set"))
    write_csv(paths.REPORT.gallery / "index.csv", table, float_format="%.6g")


if __name__ == "__main__":
    stage.run("evaluate", main)
