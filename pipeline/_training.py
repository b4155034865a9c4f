"""What the three training stages share: batches, scratch folder, observers, and writing weights."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import typer
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import nn

from glcic import paths, tracking
from glcic.data.batches import Batch, TrainingBatches, validation_batches
from glcic.data.faces import Faces
from glcic.files import atomic
from glcic.networks import generators as build
from glcic.networks.weights import load_weights, save_weights
from glcic.params import Params, Training, load
from glcic.tracking import environment
from glcic.training.checkpoints import Scratch, extendable, stage_fingerprint
from glcic.training.curves import Point, write_curve
from glcic.training.finished import settle
from glcic.training.loop import Observer, Progress, start_fabric, train
from glcic.training.phase import Phase
from glcic.training.samples import sample_grid, write_png
from glcic.training.stop import Stopped
from pipeline import _stage

# What it takes to use a network.
KEPT_WITH_WEIGHTS = {"input", "networks.completion", "networks.discriminator"}


@dataclass
class Watch(Observer):
    """Keeps curve file, sample grid and MLflow row up to date while a stage trains.

    Attributes:
        configuration: all of params.yaml: a row in MLflow is one configuration of the pipeline.
        shown: validation images of the sample grid.
        data: summary of the packed faces.
    """

    stage: str
    configuration: Params
    phase: Phase
    shown: Batch
    data: Mapping[str, Any]

    def start(self, step: int, curve: Sequence[Point]) -> None:
        self.row = tracking.open_row(
            paths.ROOT,
            self.configuration.model_dump(mode="json"),
            stage=self.stage,
            step=step,
            curve=curve,
            environment=partial(environment.describe, str(self.phase.fabric.device), paths.CODE),
            data=self.data,
        )

    def validated(self, step: int, curve: Sequence[Point], rate: float) -> None:
        grid = self._write(curve)
        point = {k: v for k, v in curve[-1].items() if k != "step"}
        self.row.log_point(self.stage, step, {**point, "images_per_second": rate})
        if grid is not None:
            self.row.log_image(self.stage, step, grid)

    def interrupted(self) -> None:
        self.row.interrupt()

    def finish(self, curve: Sequence[Point]) -> None:
        self._write(curve)
        self.row.finish(self.stage, paths.MODELS / self.stage)

    def _write(self, curve: Sequence[Point]) -> NDArray[np.uint8] | None:
        write_curve(paths.REPORT.curve(self.stage), curve)
        if "completion" not in self.phase.networks:
            return None
        grid = sample_grid(self.phase, self.phase.kept("completion"), self.shown)
        write_png(paths.REPORT.sample(self.stage), grid)
        return grid


def run(
    stage: str,
    params: Params,
    section: Training,
    make_phase: Callable[[Fabric, Faces], Phase],
    *,
    local_window: int,
    after: Sequence[str] = (),
    score: str | None = "val_psnr",
) -> None:
    """Train one phase and write models/<stage>/, the curve and the sample grid.

    Args:
        make_phase: builds the phase once the device is known.
        local_window: side of the local windows in pixels.
        after: stages whose models this one starts from; their checkpoints have done their duty.
        score: validation score whose best weights are kept beside the last ones; None: only the last.
    """
    configuration = load(paths.PARAMS)  # at once: somebody may edit it for the next run while this one goes on
    definition = _stage.stage_definition(stage)
    sections = {name: _dig(params, name) for name in definition["params"]}
    key = stage_fingerprint(stage, sections, [Path(dep) for dep in definition["deps"]])
    scratch = Scratch(paths.SCRATCH, stage, key)
    # With several devices, the processes that Fabric starts run this as well; the first one holds the lock for all.
    with nullcontext() if "LOCAL_RANK" in os.environ else scratch.locked():
        fabric = start_fabric(params.runtime, section)
        if fabric.global_rank == 0:
            for earlier in after:
                settle(paths.SCRATCH, earlier, paths.MODELS / earlier)
        faces = Faces(paths.FACES, "train")
        torch.manual_seed(int(np.random.SeedSequence([params.seed, *stage.encode()]).generate_state(1)[0]))
        phase = make_phase(fabric, faces)
        batches = TrainingBatches(
            faces,
            seed=params.seed,
            stage=stage,
            batch=section.batch,
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
            batch=section.batch,
            holes=params.holes,
            local_window=local_window,
        )
        watch = Watch(stage, configuration, phase, validation[0], faces.summary) if fabric.global_rank == 0 else None
        try:
            progress = train(
                phase,
                batches,
                validation,
                section,
                scratch,
                watch or Observer(),
                workers=params.runtime.workers,
                parent=_stage.PARENT if "DVC_STAGE" in os.environ else None,
                score=score,
            )
        except Stopped as interruption:
            if fabric.global_rank:
                return  # a child that fails would have Fabric kill the first process
            typer.echo(str(interruption), err=True)
            raise typer.Exit(130) from None
        if watch is not None:
            about = {"mean_pixel": faces.mean_pixel, "size": faces.size, "step": progress.step}
            about |= {name.removeprefix("networks."): sections[name] for name in KEPT_WITH_WEIGHTS & sections.keys()}
            _write_models(paths.MODELS / stage, phase, progress, about, sections)
            watch.finish(progress.curve)
            scratch.finish(paths.MODELS / stage, extendable=extendable(sections[stage]))


def completion_network(params: Params, weights: Path | None = None) -> nn.Module:
    """A completion network, new or with the weights of an earlier stage."""
    return with_weights(build.completion_network(params.networks.completion, params.input), weights)


def with_weights(network: nn.Module, weights: Path | None) -> nn.Module:
    """The network, with the weights of a file where one is named."""
    if weights is not None:
        network.load_state_dict(load_weights(weights)[0])
    return network


def _write_models(
    folder: Path, phase: Phase, progress: Progress, about: dict[str, Any], made_by: dict[str, Any]
) -> None:
    """Write last and best weights and the parameters that made them."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic(folder / "params.json") as temporary:
        temporary.write_text(json.dumps(made_by, indent=2, sort_keys=True) + "\n")
    for name in phase.networks:
        save_weights(folder / f"{name}_last.safetensors", phase.kept(name).state_dict(), about)
    if "completion" in phase.networks:
        best = progress.best.get("completion", phase.kept("completion").state_dict())  # a skipped phase has no best
        save_weights(folder / "completion_best.safetensors", best, about)


def _dig(params: Params, dotted: str) -> Any:
    value: Any = params
    for part in dotted.split("."):
        value = getattr(value, part)
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value
