"""What each of the optimizations in docs/performance.md gains on this machine, by itself.

Every pair is timed in turn, ten times; the ratio is that of the medians. Run it from the project's root, on an idle
machine:

    python tools/speed_parts.py
"""

import time
from collections.abc import Callable
from functools import partial
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn

from glcic.data import augmentation
from glcic.experiments import bench, bench_work
from glcic.masks.sampling import MaskSampler
from glcic.networks.discriminators import build_discriminator
from glcic.networks.layers import DilatedConv2d, StridedConv2d
from glcic.params import Augmentation, BoxMasks, GlobalLocalParams, StrokeMasks
from glcic.report.formatting import markdown
from glcic.training import loop
from glcic.training.optimizers import CompiledAdadelta

ROUNDS = 10
# Channels in and out, and the side of the input: the layers of the paper's discriminator at S = 64.
LAYERS = ((64, 128, 32), (128, 256, 16), (256, 512, 8), (512, 512, 4), (512, 512, 2))


def pair(before: Callable[[], object], after: Callable[[], object]) -> list[str]:
    """Milliseconds before and after, and their ratio."""
    times: tuple[list[float], list[float]] = ([], [])
    for k in range(ROUNDS + 2):
        for work, found in zip((before, after), times, strict=True):
            started = time.perf_counter()
            work()
            if k >= 2:  # the first ones warm up
                found.append(1000 * (time.perf_counter() - started))
    a, b = map(median, times)
    return [f"{a:.1f}", f"{b:.1f}", f"{a / b:.1f}"]


def training_pass(layer: nn.Conv2d, image: Tensor, precision: str) -> Callable[[], None]:
    """Forward and backward through one layer, to its weight and its input."""

    def work() -> None:
        layer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
            layer(image).sum().backward()

    return work


def convolutions() -> list[list[str]]:
    """Time the strided and the dilated convolutions, forward and backward."""
    rows = []
    for precision in ("32-true", "bf16-mixed"):
        for dilation in (8, 16):
            image = torch.randn(8, 256, 16, 16).to(memory_format=torch.channels_last).requires_grad_()
            ours, theirs = (
                layer.to(memory_format=torch.channels_last)
                for layer in (
                    DilatedConv2d(256, 256, dilation),
                    nn.Conv2d(256, 256, 3, padding=dilation, dilation=dilation),
                )
            )
            timed = pair(training_pass(theirs, image, precision), training_pass(ours, image, precision))
            rows.append([f"3×3, dilation {dilation}, 256 → 256, 16×16", precision, *timed])
        for channels, out, side in LAYERS:
            image = torch.randn(16, channels, side, side).to(memory_format=torch.channels_last).requires_grad_()
            ours, theirs = (
                kind(channels, out, 5, 2, 2).to(memory_format=torch.channels_last)
                for kind in (StridedConv2d, nn.Conv2d)
            )
            timed = pair(training_pass(theirs, image, precision), training_pass(ours, image, precision))
            rows.append([f"5×5, {channels} → {out}, {side}×{side}", precision, *timed])
    return rows


def optimizers() -> list[list[str]]:
    """Time an update of the paper's discriminator."""
    section = GlobalLocalParams(
        name="global_local",
        width_multiplier=1.0,
        local_window=32,
        global_layers=5,
        local_layers=5,
        norm="batch",
        activation="relu",
        head="fused",
        spectral_norm=False,
        mask_channel=False,
    )

    def stepped(make: Callable[[list[nn.Parameter]], torch.optim.Optimizer]) -> Callable[[], object]:
        parameters = list(build_discriminator(section, 64).to(memory_format=torch.channels_last).parameters())
        for parameter in parameters:
            parameter.grad = torch.randn_like(parameter)
        return make(parameters).step

    adam = pair(
        stepped(lambda parameters: torch.optim.Adam(parameters)),
        stepped(lambda parameters: torch.optim.Adam(parameters, fused=True)),
    )
    adadelta = pair(stepped(torch.optim.Adadelta), stepped(CompiledAdadelta))
    return [["Adam, fused", "32-true", *adam], ["Adadelta, compiled", "32-true", *adadelta]]


def steps(common: bench_work.Bench, stage: str, keep: bool) -> bench_work.Work:
    """Steps of a training stage, where glibc keeps freed memory or not; in a process of its own."""
    if not keep:
        loop.keep_memory = lambda: None
    return bench_work.training(common, stage, "32-true")


def memory() -> list[list[str]]:
    """Time steps of the preset `paper` at the bench's size, in turn."""
    rows = []
    with bench.prepared() as common:
        for stage in ("pretrain_generator", "train_joint"):
            workers = [bench_work.Worker(steps, common, stage, keep) for keep in (False, True)]
            timed = pair(*(partial(worker.run, 4) for worker in workers))
            for worker in workers:
                worker.close()
            rows.append([f"four steps of {stage}, memory kept", "32-true", *timed])
    return rows


def preparation() -> list[list[str]]:
    """Time what a batch of 64 images at S = 128 needs, on one thread."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    boxes = BoxMasks(name="box", size_range=[48, 64], margin=0, num_boxes=[1, 1])
    strokes = StrokeMasks(name="strokes", area_ratio=[0.2, 0.3])
    color = Augmentation(flip=0.5, crop=[0.8, 1.0], brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05)
    images = torch.randint(0, 256, (64, 3, 128, 128), dtype=torch.uint8)
    works: dict[str, Callable[[], object]] = {
        "masks, boxes": partial(MaskSampler(boxes, 128, 64).sample, rng, 64),
        "masks, strokes": partial(MaskSampler(strokes, 128, 64).sample, rng, 64),
        "crops with color": lambda: augmentation.apply(images, augmentation.draw(rng, 64, color)),
    }
    return [[name, pair(work, work)[0]] for name, work in works.items()]


def main() -> None:
    """Print the tables."""
    print(markdown(["batch of 64 at S = 128, one thread", "ms"], preparation()) + "\n")
    torch.set_num_threads(2)
    rows = convolutions() + optimizers() + memory()
    print(markdown(["part", "precision", "before, ms", "after, ms", "ratio"], rows))


if __name__ == "__main__":
    main()
