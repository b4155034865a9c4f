"""One way to score: every method completes the same images with the same holes."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from glcic.data.faces import Faces
from glcic.evaluation.metrics import score
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
