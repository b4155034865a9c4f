"""How fast training is where two programs share the cores, by how long waiting threads keep theirs.

Steps of the first phase of params.yaml, with its threads, by one process and by two at once: with libgomp's own
GOMP_SPINCOUNT, 300,000, and with that of `glcic/__init__.py`. Run it from the project's root, on an idle machine:

    python tools/speed_shared.py
"""

import os
import subprocess
import sys
import time

from glcic import paths

SECONDS = 10
SPINS = {"by default": "300000", "here": os.environ["GOMP_SPINCOUNT"]}


def train() -> None:
    """Print milliseconds a step."""
    import torch

    from glcic.data.batches import Batch
    from glcic.networks.generators import build_generator
    from glcic.params import load
    from glcic.phases.pretrain_generator import PretrainGeneratorPhase
    from glcic.training.loop import start_fabric

    params = load(paths.PARAMS)
    section, side = params.pretrain_generator, params.crop.image_size
    fabric = start_fabric(params.runtime, section)
    generator = build_generator(params.networks.generator, params.input)
    phase = PretrainGeneratorPhase(fabric, generator, section, params.input, [0.5] * 3)
    image = torch.randint(0, 256, (section.batch_size, 3, side, side), dtype=torch.uint8)
    mask = torch.zeros_like(image[:, :1])
    mask[:, :, side // 4 : side // 2, side // 4 : side // 2] = 1
    window = torch.zeros(section.batch_size, 2, dtype=torch.int64)
    batch = Batch(image, mask, window, window)
    for _ in range(3):  # warms up
        phase.step([phase.preprocess(batch)])
    started, steps = time.monotonic(), 0
    while time.monotonic() - started < SECONDS:
        phase.step([phase.preprocess(batch)])
        steps += 1
    print(1000 * (time.monotonic() - started) / steps)


def main() -> None:
    """Print the table."""
    print("| GOMP_SPINCOUNT | one process, ms a step | two at once, ms a step |\n|---|---|---|")
    for name, spins in SPINS.items():
        means = []
        for processes in (1, 2):
            running = [
                subprocess.Popen(
                    [sys.executable, __file__, "train"],
                    env=os.environ | {"GOMP_SPINCOUNT": spins},
                    stdout=subprocess.PIPE,
                    text=True,
                )
                for _ in range(processes)
            ]
            means.append(sum(float(process.communicate()[0]) for process in running) / processes)
        print(f"| {spins}, {name} | {means[0]:.0f} | {means[1]:.0f} |", flush=True)


if __name__ == "__main__":
    train() if sys.argv[1:] == ["train"] else main()
