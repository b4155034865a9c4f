"""Scoring of methods. All methods complete the same images with the same masks."""

from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, Self

import cv2
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from glcic.data.packed import PackedImages
from glcic.evaluation import definitions, looks
from glcic.evaluation.mask_sets import MaskSet
from glcic.evaluation.metrics import score
from glcic.evaluation.tables import SetScores
from glcic.inference.nearest import Read
from glcic.masks.geometry import Pixels

if TYPE_CHECKING:
    from glcic.evaluation.perceptual import Lpips, SetDistances

Method = Callable[[Pixels, Pixels], Pixels]  # images (N, 3, S, S), masks (N, 1, S, S) → composites (N, 3, S, S)
Refinement = Callable[[Pixels, Pixels, Pixels], Pixels]  # composites, images, masks → composites
Chosen = NDArray[np.bool_]  # (N,), which of N images the slow methods complete
BLOCK = 512  # number of images whose completions are kept in memory at a time


@dataclass(frozen=True)
class Methods:
    """The methods to score, by name.

    Attributes:
        of_parts: methods that complete a few images at a time, in any process.
        refinements: name → the method whose composites are refined, and the refinement.
        of_blocks: methods that complete many images at once, in the scorer's own process: networks on a GPU.
    """

    of_parts: Mapping[str, Method]
    refinements: Mapping[str, tuple[str, Refinement]] = field(default_factory=dict)
    of_blocks: Mapping[str, Method] = field(default_factory=dict)

    @property
    def whole(self) -> dict[str, Method]:
        """The methods that complete images by themselves: all but the refinements."""
        return {**self.of_parts, **self.of_blocks}

    def alone(self, name: str) -> "Methods":
        """Select a single method, which is no refinement."""
        of_parts, of_blocks = (
            {one: method for one, method in methods.items() if one == name}
            for methods in (self.of_parts, self.of_blocks)
        )
        return Methods(of_parts, of_blocks=of_blocks)

    def complete(
        self, images: Pixels, masks: Pixels, given: Mapping[str, Pixels] | None = None, chosen: Chosen | None = None
    ) -> dict[str, Pixels]:
        """Complete images with all methods.

        Args:
            images: images (N, 3, S, S) as uint8.
            masks: masks (N, 1, S, S) as uint8, 1 in the hole.
            given: composites that exist already, of other methods or of some `of_blocks`.
            chosen: (N,), which images the slow methods complete; None: all.

        Returns:
            Composites (N, 3, S, S) by method, in the order of the tables; of slow methods only those of chosen images.
        """
        some = chosen if chosen is not None else np.ones(len(images), bool)
        completed = {
            name: composites[some] if name in definitions.SLOW else composites
            for name, composites in (given or {}).items()
        }
        for name, method in self.whole.items():
            if name in completed:
                continue
            if name not in definitions.SLOW:
                completed[name] = method(images, masks)
            else:
                completed[name] = method(images[some], masks[some]) if some.any() else images[:0]
        for name, (source, refine) in self.refinements.items():
            completed[name] = refine(completed[source], images, masks)
        known = [name for name in definitions.METHODS if name in completed]
        return {name: completed[name] for name in [*known, *(completed.keys() - set(known))]}


# Composites, scores, and features of chosen images by method; features of the real images.
Result = tuple[dict[str, Pixels], dict[str, list[dict[str, float]]], dict[str, looks.Features], looks.Features]
# Images, masks, which the slow methods complete, composites that exist already, one method alone, patches per image.
Task = tuple[Pixels, Pixels, Chosen, dict[str, Pixels], str | None, int]


class Scorer:
    """Scores methods on mask sets, in several processes.

    Each process completes one part of the images at a time, in one thread, so the number of processes does not change
    any bit of the result. Use it as a context manager, which ends the processes.
    """

    def __init__(
        self,
        methods: Methods,
        *,
        batch_size: int,
        processes: int,
        extra_metrics: Collection[str] = (),
        images: int | None = None,
    ) -> None:
        """Start the processes.

        Args:
            methods: methods to score.
            batch_size: number of images in a part.
            processes: number of processes; 1 scores in this process.
            extra_metrics: additional metrics, keys of `definitions.EXTRA` and `definitions.OF_SETS`.
            images: number of images that slow methods (`definitions.SLOW`) complete, evenly spaced over the split,
                the same for each mask set; None or more than there are: all.
        """
        self.methods, self.batch_size, self.extra_metrics, self.images = methods, batch_size, extra_metrics, images
        _one_thread()
        self._pool: ProcessPoolExecutor | None = None
        if processes > 1:
            of_parts = replace(methods, of_blocks={})  # what is on a GPU stays in this process
            self._pool = ProcessPoolExecutor(
                processes, get_context("spawn"), _start, (of_parts, frozenset(extra_metrics))
            )
        self._lpips: Lpips | None = None
        if "lpips" in extra_metrics:
            from glcic.evaluation import perceptual  # torchmetrics is an extra

            self._lpips = perceptual.Lpips()
        self._to: dict[PackedImages, SetDistances] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def score(
        self,
        packed: PackedImages,
        mask_set: MaskSet,
        *,
        alone: str | None = None,
        given: Mapping[str, Read] | None = None,
    ) -> SetScores:
        """Score the methods on one mask set.

        Args:
            packed: the images of a split, N of side S.
            mask_set: one mask for each image.
            alone: name of a single method to score, which is no refinement; None scores all methods.
            given: what other methods put into the holes, read by the images' numbers within the split: (n, 3, S, S),
                uint8. Pixels outside the holes are ignored.
        """
        methods = self.methods.alone(alone) if alone else self.methods
        chosen = evenly_spaced(len(packed), self.images)
        of_set = set(self.extra_metrics) & set(definitions.OF_SETS)
        distances = (
            self._distances(packed, of_set) if of_set else None
        )  # before the work starts, because it may raise an error
        found: dict[str, list[dict[str, float]]] = {}
        kept: dict[str, list[Any]] = {}  # Inception's features, for metrics of the whole set
        seen: dict[str, list[looks.Features]] = {}
        real: list[looks.Features] = []
        patches = looks.patches_per_image(int(chosen.sum()))
        brightness: list[float] = []
        with tqdm(total=len(packed), desc=f"evaluate {mask_set.name}", unit=" images", disable=None) as bar:
            for start in range(0, len(packed), BLOCK):
                items = np.arange(start, min(start + BLOCK, len(packed)))
                images, masks = packed.read(items), mask_set.masks[items]
                brightness += (images.mean(axis=(1, 2, 3)) / 255).tolist()
                made = {name: method(images, masks) for name, method in methods.of_blocks.items()}
                made |= {name: np.where(masks == 1, read(items), images) for name, read in (given or {}).items()}
                for completed, scored, features, truth in self._map(images, masks, chosen[items], made, alone, patches):
                    real.append(truth)
                    for name, of_part in features.items():
                        seen.setdefault(name, []).append(of_part)
                    for name, rows in scored.items():
                        found.setdefault(name, []).extend(rows)
                        if distances:
                            kept.setdefault(name, []).append(distances.features(completed[name]))
                    bar.update(max(len(composites) for composites in completed.values()))
        places = _places(packed, mask_set, brightness)
        tables = []
        for name, rows in found.items():
            own = (places[chosen] if name in definitions.SLOW else places).reset_index(drop=True)
            tables.append(pd.concat([own.assign(mask_set=mask_set.name, method=name), pd.DataFrame(rows)], axis=1))
        table = pd.concat(tables, ignore_index=True)
        first = ["mask_set", "method"]
        table = table[[*first, *(column for column in table.columns if column not in first)]]
        groups = looks.groups_of(packed.index[chosen])
        of_looks = []
        of_sets: dict[str, dict[str, float]] = {}
        for name, parts in seen.items():
            compared = looks.compare(looks.joined(parts), looks.joined(real), groups)
            of_looks.append(compared.assign(mask_set=mask_set.name, method=name)[[*first, *compared.columns]])
            of_sets[name] = {metric: float(compared[metric].iloc[0]) for metric in definitions.LOOKS}
        if distances:
            for name, vectors in kept.items():
                among = chosen if name in definitions.SLOW else None
                of_sets[name] |= distances.between(torch.cat(vectors), among)
        return SetScores(table, of_sets, pd.concat(of_looks, ignore_index=True))

    def _distances(self, packed: PackedImages, kinds: Collection[str]) -> "SetDistances":
        """Distances to the ground truth of a split, whose features are computed only once."""
        if packed not in self._to:
            from glcic.evaluation.perceptual import SetDistances  # torchmetrics is an extra

            self._to[packed] = SetDistances(packed.read(np.arange(len(packed))), kinds, seed=0)
        return self._to[packed]

    def _map(
        self,
        images: Pixels,
        masks: Pixels,
        chosen: Chosen,
        given: Mapping[str, Pixels],
        alone: str | None,
        patches: int,
    ) -> Iterator[Result]:
        parts = [slice(start, start + self.batch_size) for start in range(0, len(images), self.batch_size)]
        tasks: list[Task] = [
            (images[p], masks[p], chosen[p], {name: of[p] for name, of in given.items()}, alone, patches) for p in parts
        ]
        work = partial(_complete_and_score, self.methods, self.extra_metrics)
        results = map(work, tasks) if self._pool is None else self._pool.map(_work, tasks)
        for (truth, _, of_slow, *_), (completed, scored, features, real) in zip(tasks, results, strict=True):
            if self._lpips is not None:
                for name, rows in scored.items():
                    own = truth[of_slow] if name in definitions.SLOW else truth
                    for row, distance in zip(rows, self._lpips(completed[name], own), strict=True):
                        row["lpips"] = float(distance)
            yield completed, scored, features, real


def _complete_and_score(methods: Methods, extra_metrics: Collection[str], task: Task) -> Result:
    images, masks, chosen, given, alone, patches = task
    completed = (methods.alone(alone) if alone else methods).complete(images, masks, given, chosen)
    # Sets are compared on the images that all methods complete: distances of fewer images are larger.
    holes, where = masks[chosen], looks.places(images[chosen], masks[chosen], patches)
    scored, features = {}, {}
    for name, composites in completed.items():
        slow = name in definitions.SLOW
        own = (images[chosen], masks[chosen]) if slow else (images, masks)
        scored[name] = [score(*triple, extra_metrics) for triple in zip(composites, *own, strict=True)]
        features[name] = looks.features(composites if slow else composites[chosen], holes, where)
    return completed, scored, features, looks.features(images[chosen], holes, where)


def evenly_spaced(n: int, k: int | None) -> Chosen:
    """Choose k of n images, evenly spaced; all if k is None or not less than n."""
    chosen = np.full(n, k is None or k >= n)
    if k is not None and k < n:
        chosen[np.arange(k) * n // k] = True
    return chosen


_worker: dict[str, Any] = {}  # state of a process of the pool


def _start(methods: Methods, extra_metrics: frozenset[str]) -> None:
    _one_thread()
    _worker["work"] = partial(_complete_and_score, methods, extra_metrics)


def _work(task: Task) -> Result:
    result: Result = _worker["work"](task)
    return result


def _one_thread() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def _places(packed: PackedImages, mask_set: MaskSet, brightness: list[float]) -> pd.DataFrame:
    """Table of images and holes: bounding box in pixels, share of the image in [0, 1], distance of the box from the
    nearest edge in pixels, and mean brightness of the ground truth in [0, 1]."""
    places = packed.index[["row", "file", "identity"]].reset_index(drop=True)
    places[["top", "left", "height", "width"]] = mask_set.boxes
    return places.assign(area_ratio=mask_set.area_ratios, margin=mask_set.margins, brightness=brightness)
