"""One way to score: every method completes the same images with the same holes."""

from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, Self

import cv2
import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from glcic.data.faces import Faces
from glcic.evaluation import definitions
from glcic.evaluation.mask_sets import MaskSet
from glcic.evaluation.metrics import score
from glcic.masks.geometry import Pixels

if TYPE_CHECKING:
    from glcic.evaluation.perceptual import Lpips, SetDistances

Method = Callable[[Pixels, Pixels], Pixels]  # images (N, 3, S, S), masks (N, 1, S, S) → composites
Refinement = Callable[[Pixels, Pixels, Pixels], Pixels]  # composites, images, masks → composites
BLOCK = 512  # images whose completions are in memory at a time


@dataclass(frozen=True)
class Methods:
    """What is scored, by name.

    Attributes:
        of_parts: complete a few images at a time, in whatever process.
        refinements: name → the method whose composites are refined, and how.
        of_blocks: complete many images at once, in this process: it pays for them to see many.
    """

    of_parts: Mapping[str, Method]
    refinements: Mapping[str, tuple[str, Refinement]] = field(default_factory=dict)
    of_blocks: Mapping[str, Method] = field(default_factory=dict)

    def alone(self, name: str) -> "Methods":
        """One of `of_parts`."""
        return Methods({name: self.of_parts[name]})

    def complete(self, images: Pixels, masks: Pixels, given: Mapping[str, Pixels] | None = None) -> dict[str, Pixels]:
        """Composites of all methods, in the order of the tables; `given` are those of `of_blocks`, if already made."""
        if given is None:
            given = {name: method(images, masks) for name, method in self.of_blocks.items()}
        completed = {name: method(images, masks) for name, method in self.of_parts.items()} | dict(given)
        for name, (source, refine) in self.refinements.items():
            completed[name] = refine(completed[source], images, masks)
        known = [name for name in definitions.METHODS if name in completed]
        return {name: completed[name] for name in [*known, *(completed.keys() - set(known))]}


Result = tuple[dict[str, Pixels], dict[str, list[dict[str, float]]]]  # composites and scores by method
# Images, masks, composites of `of_blocks`, one method alone.
Task = tuple[Pixels, Pixels, dict[str, Pixels], str | None]


class Evaluation:
    """Scores methods on mask sets, a part of the images after the other, in several processes.

    A part is what one process completes at a time, with one thread: how many processes there are changes no bit. Use
    it as a context, which ends the processes.
    """

    def __init__(self, methods: Methods, *, batch: int, processes: int, extra: Collection[str] = ()) -> None:
        """Start the processes.

        Args:
            batch: images in a part.
            extra: more metrics, of definitions.EXTRA and OF_SETS.
        """
        self.methods, self.batch, self.extra = methods, batch, extra
        _one_thread()
        self._pool: ProcessPoolExecutor | None = None
        if processes > 1:
            self._pool = ProcessPoolExecutor(processes, get_context("spawn"), _start, (methods, frozenset(extra)))
        self._lpips: Lpips | None = None
        if "lpips" in extra:
            from glcic.evaluation import perceptual  # torchmetrics is an extra

            self._lpips = perceptual.Lpips()
        self._to: dict[Faces, SetDistances] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def scores(
        self, faces: Faces, holes: MaskSet, *, alone: str | None = None, given: Mapping[str, Pixels] | None = None
    ) -> tuple[pd.DataFrame, dict[str, dict[str, float]]]:
        """Score the methods on one mask set, image by image.

        Args:
            alone: the only method, of `of_parts`; None: all methods.
            given: composites (N, 3, S, S) of other methods, already made.

        Returns:
            One row per method and image: mask_set, method, row, file, identity, top, left, height, width, ratio,
            border, brightness (see `_places`), and the metrics; and the scores of the whole set,
            {method: {metric: score}}, where `extra` has any.
        """
        methods = self.methods.alone(alone) if alone else self.methods
        of_set = set(self.extra) & set(definitions.OF_SETS)
        distances = self._distances(faces, of_set) if of_set else None  # at once: it may refuse
        found: dict[str, list[dict[str, float]]] = {}
        kept: dict[str, list[Any]] = {}  # features, for scores of the whole set
        brightness: list[float] = []
        with tqdm(total=len(faces), desc=f"evaluate {holes.name}", unit=" images", disable=None) as bar:
            for start in range(0, len(faces), BLOCK):
                items = np.arange(start, min(start + BLOCK, len(faces)))
                images, masks = faces.read(items), holes.masks[items]
                brightness += (images.mean(axis=(1, 2, 3)) / 255).tolist()
                made = {name: method(images, masks) for name, method in methods.of_blocks.items()}
                made |= {name: composites[items] for name, composites in (given or {}).items()}
                for completed, scored in self._map(images, masks, made, alone):
                    for name, rows in scored.items():
                        found.setdefault(name, []).extend(rows)
                        if distances:
                            kept.setdefault(name, []).append(distances.features(completed[name]))
                    bar.update(len(next(iter(completed.values()))))
        places = _places(faces, holes, brightness)
        tables = [
            pd.concat([places.assign(mask_set=holes.name, method=name), pd.DataFrame(rows)], axis=1)
            for name, rows in found.items()
        ]
        table = pd.concat(tables, ignore_index=True)
        first = ["mask_set", "method"]
        table = table[[*first, *(column for column in table.columns if column not in first)]]
        return table, {name: distances.between(torch.cat(parts)) for name, parts in kept.items()} if distances else {}

    def _distances(self, faces: Faces, kinds: Collection[str]) -> "SetDistances":
        """To the ground truth of a split, which is looked at once."""
        if faces not in self._to:
            from glcic.evaluation.perceptual import SetDistances  # torchmetrics is an extra

            self._to[faces] = SetDistances(faces.read(np.arange(len(faces))), kinds, seed=0)
        return self._to[faces]

    def _map(self, images: Pixels, masks: Pixels, given: Mapping[str, Pixels], alone: str | None) -> Iterator[Result]:
        parts = [slice(start, start + self.batch) for start in range(0, len(images), self.batch)]
        tasks: list[Task] = [(images[p], masks[p], {name: of[p] for name, of in given.items()}, alone) for p in parts]
        work = partial(_complete_and_score, self.methods, self.extra)
        results = map(work, tasks) if self._pool is None else self._pool.map(_work, tasks)
        for task, (completed, scored) in zip(tasks, results, strict=True):
            if self._lpips is not None:
                for name, rows in scored.items():
                    for row, distance in zip(rows, self._lpips(completed[name], task[0]), strict=True):
                        row["lpips"] = float(distance)
            yield completed, scored


def _complete_and_score(methods: Methods, extra: Collection[str], task: Task) -> Result:
    images, masks, given, alone = task
    completed = (methods.alone(alone) if alone else methods).complete(images, masks, given)
    scored = {
        name: [score(*triple, extra=extra) for triple in zip(composites, images, masks, strict=True)]
        for name, composites in completed.items()
    }
    return completed, scored


_worker: dict[str, Any] = {}  # in a process of the pool: what it scores


def _start(methods: Methods, extra: frozenset[str]) -> None:
    _one_thread()
    _worker["work"] = partial(_complete_and_score, methods, extra)


def _work(task: Task) -> Result:
    result: Result = _worker["work"](task)
    return result


def _one_thread() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def _places(faces: Faces, holes: MaskSet, brightness: list[float]) -> pd.DataFrame:
    """Which image, which hole: its bounding box in pixels, its share of the image, the pixels between the box and the
    nearest edge; and how bright the ground truth is, in [0, 1]."""
    places = faces.index[["row", "file", "identity"]].reset_index(drop=True)
    places[["top", "left", "height", "width"]] = holes.boxes
    return places.assign(ratio=holes.ratios, border=holes.borders, brightness=brightness)
