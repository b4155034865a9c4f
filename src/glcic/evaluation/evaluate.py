"""One way to score: every method completes the same images with the same holes."""

from collections.abc import Callable, Mapping
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from glcic.data.faces import Faces
from glcic.evaluation.metrics import METRICS, score
from glcic.masks import box_masks, draw_mask_set

Images = NDArray[np.uint8]
Method = Callable[[Images, Images], Images]  # images (N, 3, S, S), masks (N, 1, S, S) → composites


def evaluate(faces: Faces, methods: Mapping[str, Method], mask_set: str, seed: int, batch: int) -> pd.DataFrame:
    """Score all methods on one mask set, image by image.

    Returns:
        One row per method and image: mask_set, method, row, file, identity, top, left, height, width, and the
        metrics.
    """
    boxes = draw_mask_set(mask_set, seed, len(faces), faces.size)
    places = faces.index[["row", "file", "identity"]].reset_index(drop=True)
    places[["top", "left", "height", "width"]] = boxes
    scores: dict[str, list[dict[str, float]]] = {name: [] for name in methods}
    with tqdm(total=len(faces), desc=f"evaluate {mask_set}", unit=" images", disable=None) as bar:
        for start in range(0, len(faces), batch):
            items = np.arange(start, min(start + batch, len(faces)))
            truth, masks = faces.read(items), box_masks(boxes[items], faces.size)
            for name, method in methods.items():
                completed = method(truth, masks)
                scores[name] += [score(*triple) for triple in zip(completed, truth, masks, strict=True)]
            bar.update(len(items))
    frames = [
        pd.concat([places.assign(mask_set=mask_set, method=name), pd.DataFrame(scores[name])], axis=1)
        for name in methods
    ]
    table = pd.concat(frames, ignore_index=True)
    first = ["mask_set", "method"]
    return table[[*first, *(column for column in table.columns if column not in first)]]


def means(scores: pd.DataFrame) -> dict[str, dict[str, dict[str, float | None]]]:
    """{mask set: {method: {metric: mean}}}, means over the images whose score is finite; None where there is none."""
    finite = scores.replace([np.inf, -np.inf], np.nan)
    table = finite.groupby(["mask_set", "method"], sort=False)[list(METRICS)].mean()
    result: dict[str, dict[str, dict[str, float | None]]] = {}
    for key, row in table.iterrows():
        mask_set, method = cast(tuple[str, str], key)
        values = {metric: None if pd.isna(row[metric]) else round(float(row[metric]), 6) for metric in METRICS}
        result.setdefault(mask_set, {})[method] = values
    return result
