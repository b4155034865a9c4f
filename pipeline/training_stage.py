"""Shared code of the three training stages: they open their context, build their networks and train a phase."""

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
from glcic.data.packed import PackedImages
from glcic.files import write_text
from glcic.networks.weights import save_weights
from glcic.params import Params, Training, plain
from glcic.tracking.environment import git_state
from glcic.tracking.recorder import Recorder
from glcic.training.checkpoints import Checkpoints, checkpoint_key, code_and_inputs, extendable
from glcic.training.code import version_of
from glcic.training.curves import write_curve
from glcic.training.finished import settle
from glcic.training.loop import TrainState, start_fabric, train
from glcic.training.phase import Phase
from glcic.training.samples import write_samples
from glcic.training.stop import Stopped
from pipeline.stage import PARENT, configuration, stage_definition, start_of

# Parameters that are needed to use a network.
SAVED_WITH_WEIGHTS = {"input", "networks.generator", "networks.discriminator"}


@dataclass(frozen=True)
class TrainingStage:
    """Context of a training stage: parameters, device, data and checkpoints.

    Attributes:
        name: name of the stage.
        params: the sections that dvc.yaml lists for the stage.
        section: the stage's own section.
        configuration: all of params.yaml, as it was when the stage started.
        listed: the listed sections as plain data, by their names in dvc.yaml.
        fabric: devices and precision.
        images: images of the training split.
        checkpoints: checkpoints of the stage.
    """

    name: str
    params: Params
    section: Training
    configuration: Params
    listed: dict[str, Any]
    fabric: Fabric
    images: PackedImages
    checkpoints: Checkpoints

    def train(self, phase: Phase, *, local_window: int, score: str | None = "val_psnr") -> None:
        """Train a phase, and write models/<stage>/, the curve and the sample grid.

        Args:
            phase: the phase to train.
            local_window: side of the local windows, in pixels.
            score: validation score by which the best weights are kept, in addition to the last; None: only the last.
        """
        params, fabric = self.params, self.fabric
        batches = TrainingBatches(
            self.images,
            seed=params.seed,
            stage=self.name,
            batch_size=self.section.batch_size,
            masks=params.masks,
            augmentation=params.augmentation,
            local_window=local_window,
            rank=fabric.global_rank,
            world_size=fabric.world_size,
        )
        validation = validation_batches(
            PackedImages(paths.IMAGES, "val"),
            seed=params.seed,
            num_images=params.validation.num_images,
            batch_size=self.section.batch_size,
            masks=params.masks,
            local_window=local_window,
        )
        recorder = None
        if fabric.global_rank == 0:
            recorder = Recorder(
                self.name,
                self.configuration,
                phase,
                validation[0],
                self.images.summary,
                self.checkpoints,
            )
        state = TrainState()
        with recorder or nullcontext():
            for state in train(
                phase,
                batches,
                validation,
                self.section,
                self.checkpoints,
                num_workers=params.runtime.num_workers,
                parent=PARENT if "DVC_STAGE" in os.environ else None,
                score=score,
            ):
                if recorder is not None:
                    recorder.record(state)
                    start_of(self.name).warn()
            if recorder is not None:
                start_of(self.name).check()  # the last checkpoint is saved
        if recorder is not None:
            self._write(phase, state, validation[0])
            recorder.finish()
            self.checkpoints.finish(paths.MODELS / self.name, extendable=extendable(self.listed[self.name]))

    def _write(self, phase: Phase, state: TrainState, shown: Batch) -> None:
        """Write the outputs: curve, sample grid, last and best weights, and the parameters."""
        write_curve(paths.REPORT.curve(self.name), state.curve)
        write_samples(paths.REPORT.sample(self.name), phase, shown)
        folder = paths.MODELS / self.name
        made_by = [version.plain() for version in self.checkpoints.versions]
        trained = self.listed | ({"code": made_by} if len(made_by) > 1 else {})
        write_text(folder / "params.json", json.dumps(trained, indent=2, sort_keys=True) + "\n")
        about = {"mean_pixel": self.images.mean_pixel, "image_size": self.images.image_size, "step": state.step}
        about |= {name.removeprefix("networks."): self.listed[name] for name in SAVED_WITH_WEIGHTS & self.listed.keys()}
        if init := self.listed[self.name].get("init"):
            about["init"] = init["sha256"]
        for name in phase.networks:
            save_weights(folder / f"{name}_last.safetensors", phase.scored(name).state_dict(), about)
        if "generator" in phase.networks:
            best = state.best.get("generator", phase.scored("generator").state_dict())  # a skipped phase has no best
            save_weights(folder / "generator_best.safetensors", best, about)


@contextmanager
def opened(name: str, params: Params, section: Training, after: Sequence[str] = ()) -> Iterator[TrainingStage]:
    """Open the context of a training stage, with a seed for the networks built in it.

    Args:
        name: name of the stage.
        params: the sections that dvc.yaml lists for the stage.
        section: the stage's own section.
        after: stages whose models this one starts from; their checkpoints are no longer needed.

    Raises:
        typer.Exit: the training was asked to stop, and has saved its checkpoint.
    """
    definition = stage_definition(name)
    listed = {part: plain(params, part) for part in definition["params"]}
    code, inputs = code_and_inputs(definition["deps"])
    checkpoints = Checkpoints(paths.STATE_DIR, name, checkpoint_key(name, listed, inputs))
    images = PackedImages(paths.IMAGES, "train")
    # With several devices, the processes that Fabric (or torchrun) starts also run this; the first one holds the lock
    # for all, and prepares the folder before the others can meet it.
    first = os.environ.get("LOCAL_RANK", "0") == "0"
    with checkpoints.locked() if first else nullcontext():
        if first:
            images.check()
            checkpoints.open(version_of(code, git_state(Path(), paths.CODE)), section.steps)
        fabric = start_fabric(params.runtime, section)
        if fabric.global_rank == 0:
            for earlier in after:
                settle(paths.STATE_DIR, earlier, paths.MODELS / earlier)
        torch.manual_seed(int(np.random.SeedSequence([params.seed, *name.encode()]).generate_state(1)[0]))
        try:
            yield TrainingStage(name, params, section, configuration(), listed, fabric, images, checkpoints)
        except Stopped as stopped:
            if fabric.global_rank == 0:  # Fabric would kill the first process if a child failed
                typer.echo(str(stopped), err=True)
                raise typer.Exit(130) from None
