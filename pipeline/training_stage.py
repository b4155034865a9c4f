"""What the three training stages share: they open their surroundings, build their networks, and train a phase."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import typer
from lightning_fabric import Fabric

from glcic import paths
from glcic.data.batches import Batch, TrainingBatches, validation_batches
from glcic.data.faces import Faces
from glcic.files import write_text
from glcic.networks.weights import save_weights
from glcic.params import Params, Training, load
from glcic.tracking.recorder import Recorder
from glcic.training.checkpoints import Scratch, checkpoint_key, extendable
from glcic.training.curves import write_curve
from glcic.training.finished import settle
from glcic.training.loop import Progress, start_fabric, train
from glcic.training.phase import Phase
from glcic.training.samples import write_samples
from glcic.training.stop import Stopped
from pipeline.stage import PARENT, stage_definition

# What it takes to use a network.
KEPT_WITH_WEIGHTS = {"input", "networks.completion", "networks.discriminator"}


@dataclass(frozen=True)
class TrainingStage:
    """The surroundings of a training: parameters, device, data and checkpoints.

    Attributes:
        params: the sections that dvc.yaml lists for the stage.
        section: its own.
        configuration: all of params.yaml, as it was when the stage started.
        listed: the listed sections as plain data, by their names in dvc.yaml.
        faces: of the training split.
    """

    name: str
    params: Params
    section: Training
    configuration: Params
    listed: dict[str, Any]
    fabric: Fabric
    faces: Faces
    scratch: Scratch

    def train(self, phase: Phase, *, local_window: int, score: str | None = "val_psnr") -> None:
        """Train a phase, and write models/<stage>/, the curve and the sample grid.

        Args:
            local_window: side of the local windows, in pixels.
            score: validation score whose best weights are kept beside the last ones; None: only the last.
        """
        params, fabric = self.params, self.fabric
        batches = TrainingBatches(
            self.faces,
            seed=params.seed,
            stage=self.name,
            batch=self.section.batch,
            holes=params.holes,
            augmentation=params.augmentation,
            local_window=local_window,
            rank=fabric.global_rank,
            world_size=fabric.world_size,
        )
        validation = validation_batches(
            Faces(paths.FACES, "val"),
            seed=params.seed,
            images=params.validation.images,
            batch=self.section.batch,
            holes=params.holes,
            local_window=local_window,
        )
        recorder = None
        if fabric.global_rank == 0:
            recorder = Recorder(self.name, self.configuration, phase, validation[0], self.faces.summary)
        progress = Progress()
        with recorder or nullcontext():
            for progress in train(
                phase,
                batches,
                validation,
                self.section,
                self.scratch,
                workers=params.runtime.workers,
                parent=PARENT if "DVC_STAGE" in os.environ else None,
                score=score,
            ):
                if recorder is not None:
                    recorder.record(progress)
        if recorder is not None:
            self._write(phase, progress, validation[0])
            recorder.finish()
            self.scratch.finish(paths.MODELS / self.name, extendable=extendable(self.listed[self.name]))

    def _write(self, phase: Phase, progress: Progress, shown: Batch) -> None:
        """Write the outputs: curve, sample grid, last and best weights and the parameters that made them."""
        write_curve(paths.REPORT.curve(self.name), progress.curve)
        write_samples(paths.REPORT.sample(self.name), phase, shown)
        folder = paths.MODELS / self.name
        write_text(folder / "params.json", json.dumps(self.listed, indent=2, sort_keys=True) + "\n")
        about = {"mean_pixel": self.faces.mean_pixel, "size": self.faces.size, "step": progress.step}
        about |= {name.removeprefix("networks."): self.listed[name] for name in KEPT_WITH_WEIGHTS & self.listed.keys()}
        for name in phase.networks:
            save_weights(folder / f"{name}_last.safetensors", phase.kept(name).state_dict(), about)
        if "completion" in phase.networks:
            best = progress.best.get("completion", phase.kept("completion").state_dict())  # a skipped phase has no best
            save_weights(folder / "completion_best.safetensors", best, about)


@contextmanager
def opened(name: str, params: Params, section: Training, after: Sequence[str] = ()) -> Iterator[TrainingStage]:
    """Open a training stage's surroundings; the randomness of networks that are built in them is seeded.

    Args:
        name: of the stage.
        section: the stage's own.
        after: stages whose models this one starts from; their checkpoints have done their duty.

    Raises:
        typer.Exit: the training was asked to stop, and has saved its checkpoint.
    """
    configuration = load(paths.PARAMS)  # at once: somebody may edit it for the next run while this one goes on
    definition = stage_definition(name)
    listed = {part: _plain(params, part) for part in definition["params"]}
    key = checkpoint_key(name, listed, [Path(dep) for dep in definition["deps"]])
    scratch = Scratch(paths.SCRATCH, name, key)
    # With several devices, the processes that Fabric starts run this as well; the first one holds the lock for all.
    with nullcontext() if "LOCAL_RANK" in os.environ else scratch.locked():
        fabric = start_fabric(params.runtime, section)
        if fabric.global_rank == 0:
            for earlier in after:
                settle(paths.SCRATCH, earlier, paths.MODELS / earlier)
        faces = Faces(paths.FACES, "train")
        torch.manual_seed(int(np.random.SeedSequence([params.seed, *name.encode()]).generate_state(1)[0]))
        try:
            yield TrainingStage(name, params, section, configuration, listed, fabric, faces, scratch)
        except Stopped as stopped:
            if fabric.global_rank == 0:  # a child that fails would have Fabric kill the first process
                typer.echo(str(stopped), err=True)
                raise typer.Exit(130) from None


def _plain(params: Params, dotted: str) -> Any:
    """A section, or a part of one, as plain data."""
    value: Any = params
    for part in dotted.split("."):
        value = getattr(value, part)
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value
