"""How long does evaluate score as many test images as CelebA has, and how much longer did it take before?

The faces are drawn by the program: 20,000 for training and 19,962 for the test, S = 64. Two generators of half width
with random weights (the time does not depend on them) and all other methods complete them, with four mask sets; Telea,
Navier–Stokes and biharmonic interpolation complete 2,000. Then a part of the test images is scored in turn by the code
of before and by this one. The code of before searched the nearest training images in 64-bit floats, read the training
split anew for every 512 images and mask set, and let all methods complete all images. Both must find the same images.

Run it from the project's root; device and threads are those of `runtime` in params.yaml. FOLDER keeps the faces for the
next time: drawing them is not part of the time. SHARE makes every number of images smaller: 0.1 is for a trial.

    python tools/evaluation_time.py FOLDER [SHARE]
"""

import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from glcic import paths
from glcic.data.crop import crop_all
from glcic.data.packed import PackedImages
from glcic.data.sources.synthetic import write_synthetic
from glcic.evaluation.mask_sets import MaskSet, draw
from glcic.evaluation.methods import all_methods
from glcic.evaluation.scorer import Methods, Scorer
from glcic.inference.completer import Completer, device_of
from glcic.inference.nearest import nearest_training_images
from glcic.masks.geometry import Pixels
from glcic.networks.generators import build_generator
from glcic.networks.weights import save_weights
from glcic.params import Params, load

SIZE, TRAIN, TEST, SLOW, PART = 64, 20_000, 19_962, 2_000, 1_024  # pixels, then images
MASK_SETS = ("center", "box", "strokes_20_30", "border")
TURNS = 2  # of the code of before, and of this one
Times = dict[str, float]  # seconds by part of the work


class NearestBefore:
    """The search of before: composites of a block of images, by products with all training images in 64 bits."""

    def __init__(self, training: PackedImages) -> None:
        self.training = training
        self.found: list[int] = []
        self.seconds = 0.0

    def __call__(self, images: Pixels, masks: Pixels) -> Pixels:
        """Complete images (N, 3, S, S) with masks (N, 1, S, S), all of them at once."""
        started = time.monotonic()
        found = self._nearest(images, masks)
        self.seconds += time.monotonic() - started
        self.found += found.tolist()
        return np.where(masks == 1, self.training.read(found), images)

    def _nearest(self, images: Pixels, masks: Pixels) -> NDArray[np.int64]:
        visible = (masks == 0).reshape(len(masks), -1).astype(np.float64)  # (N, H·W)
        doubled = np.where(masks == 0, images, 0).reshape(len(images), -1) * 2.0  # (N, 3·H·W)
        least = np.full(len(images), np.inf)
        nearest = np.zeros(len(images), np.int64)
        for first, block in self._blocks():
            squares = np.einsum("ncp,ncp->np", block, block)
            distance = squares @ visible.T - block.reshape(len(block), -1) @ doubled.T  # (block, N)
            candidate = distance.argmin(axis=0)
            value = distance[candidate, np.arange(len(images))]
            nearer = value < least
            least[nearer] = value[nearer]
            nearest[nearer] = first + candidate[nearer]
        return nearest

    def _blocks(self) -> Iterator[tuple[int, NDArray[np.float64]]]:
        for first in range(0, len(self.training), 256):
            items = np.arange(first, min(first + 256, len(self.training)))
            yield first, self.training.read(items).reshape(len(items), 3, -1).astype(np.float64)


def faces(folder: Path, params: Params, train: int, test: int) -> tuple[PackedImages, PackedImages]:
    """Draw and crop the faces, unless they are there already; returns the training and the test split."""
    if not (folder / "images" / "summary.json").exists():
        processes = params.runtime.num_threads
        (folder / "raw").mkdir(parents=True, exist_ok=True)
        write_synthetic(folder / "raw", train=train, val=1, test=test, seed=0, processes=processes)
        crop = params.crop.model_dump() | {"image_size": SIZE}
        crop_all(folder / "raw", folder / "images", **crop, processes=processes)
    splits = PackedImages(folder / "images", "train"), PackedImages(folder / "images", "test")
    if (len(splits[0]), len(splits[1])) != (train, test):
        sys.exit(f"{folder}: has faces for another SHARE; name another folder")
    return splits


def untrained(folder: Path, params: Params, mean_pixel: Sequence[float], device: torch.device) -> Methods:
    """The methods that evaluate scores, but `nearest`, with random weights."""
    generator = params.networks.generator.model_copy(update={"width_multiplier": 0.5})
    about = {
        "generator": generator.model_dump(mode="json"),
        "input": params.input.model_dump(mode="json"),
        "mean_pixel": mean_pixel,
        "image_size": SIZE,
        "step": 1,
    }
    networks = {}
    for name in ("completion", "pretrained"):
        weights = folder / f"{name}.safetensors"
        save_weights(weights, build_generator(generator, params.input).state_dict(), about)
        networks[name] = partial(Completer(weights, device), batch_size=params.evaluate.batch_size, allow_large=True)
    return all_methods(networks, mean_pixel, device)


def score(
    params: Params,
    methods: Methods,
    training: PackedImages,
    packed: PackedImages,
    sets: Sequence[MaskSet],
    limit: int,
    device: torch.device,
) -> tuple[Times, NDArray[np.int64]]:
    """Score as evaluate does; returns seconds, and the nearest training images (mask sets, images)."""
    started = time.monotonic()
    found = nearest_training_images(
        training,
        packed.read,
        [mask_set.masks for mask_set in sets],
        device=device,
        num_threads=params.runtime.num_threads,
    )
    seconds = {"nearest": time.monotonic() - started}
    started = time.monotonic()
    with Scorer(
        methods, batch_size=params.evaluate.batch_size, processes=params.runtime.num_threads, images=limit
    ) as scorer:
        for mask_set, numbers in zip(sets, found, strict=True):
            nearest = partial(_chosen, training, numbers)
            scorer.score(packed, mask_set, given={"nearest": nearest})
            seconds[mask_set.name] = time.monotonic() - started
            started = time.monotonic()
    return seconds, found


def _chosen(training: PackedImages, numbers: NDArray[np.int64], items: NDArray[np.int64]) -> Pixels:
    return training.read(numbers[items])


def score_as_before(
    params: Params, methods: Methods, training: PackedImages, packed: PackedImages, sets: Sequence[MaskSet]
) -> tuple[Times, NDArray[np.int64]]:
    """Score as the code of before did; returns seconds, and the nearest training images (mask sets, images)."""
    nearest = NearestBefore(training)
    before = Methods(methods.of_parts, methods.refinements, {**methods.of_blocks, "nearest": nearest})
    started = time.monotonic()
    with Scorer(before, batch_size=params.evaluate.batch_size, processes=params.runtime.num_threads) as scorer:
        for mask_set in sets:
            scorer.score(packed, mask_set)
    others = time.monotonic() - started - nearest.seconds
    return {"nearest": nearest.seconds, "others": others}, np.reshape(nearest.found, (len(sets), -1))


def main(folder: Path, share: float) -> None:
    """Draw the faces, and print the seconds of all test images, and the ratio to the code of before on a part."""
    params = load(paths.PARAMS)
    train, test, slow, few = (max(1, round(share * n)) for n in (TRAIN, TEST, SLOW, PART))
    device = device_of(params.runtime.accelerator)
    training, packed = faces(folder, params, train, test)
    methods = untrained(folder, params, packed.mean_pixel, device)
    sets = [draw(name, params.evaluate.mask_seed, test, SIZE) for name in MASK_SETS]
    print(f"{test:,} test images, {slow:,} for the slow methods, {train:,} training images; {device}")
    print(f"{params.runtime.num_threads} processes or threads", flush=True)
    seconds, _ = score(params, methods, training, packed, sets, slow, device)
    for name, value in seconds.items():
        print(f"{name}: {value:.1f} s")
    print(f"together: {sum(seconds.values()):.1f} s", flush=True)

    packed.rows, packed.index = packed.rows[:few], packed.index[:few]
    sets = [MaskSet(one.name, one.masks[:few]) for one in sets]
    limit = max(1, round(few * slow / test))
    print(
        f"\na part: {few:,} test images, {limit:,} for the slow methods, seconds by the code of before and by this one"
    )
    ratios = []
    for _ in range(TURNS):
        before, found_before = score_as_before(params, methods, training, packed, sets)
        now, found = score(params, methods, training, packed, sets, limit, device)
        assert np.array_equal(found, found_before), "other training images are found"
        rows = [(before["nearest"], now["nearest"]), (sum(before.values()), sum(now.values()))]
        ratios.append([old / new for old, new in rows])
        for name, (old, new) in zip(("nearest", "together"), rows, strict=True):
            print(f"{name}: {old:.1f} and {new:.1f} s, {old / new:.1f} times", flush=True)
    print("ratio, nearest and together: {:.1f} and {:.1f} times".format(*np.mean(ratios, axis=0)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 1.0)
