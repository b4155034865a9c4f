"""The one training loop of all three phases."""

import copy
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor
from tqdm import tqdm

from glcic.data.batches import Batch, TrainingBatches, loader
from glcic.errors import UserError
from glcic.params import Runtime, Training
from glcic.training.checkpoints import Scratch
from glcic.training.curves import Point
from glcic.training.optimizers import schedule_factor, set_learning_rate
from glcic.training.phase import Phase, total
from glcic.training.stop import Stopped, StopRequest


@dataclass
class Progress:
    """Everything but networks and optimisers that a resumed training needs."""

    step: int = 0
    curve: list[Point] = field(default_factory=list)
    sums: dict[str, Tensor] = field(default_factory=dict)  # of the losses since the last point of the curve
    best: dict[str, dict[str, Tensor]] = field(default_factory=dict)  # weights at the best validation score
    best_score: float = float("-inf")


def start_fabric(runtime: Runtime, section: Training) -> Fabric:
    """Device, precision and processes; after it every operation is deterministic.

    Raises:
        UserError: the device asked for is not there.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it matrix products on CUDA vary
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # costs time
    torch.backends.cudnn.benchmark = False
    try:
        fabric = Fabric(accelerator=runtime.accelerator, devices=runtime.devices, precision=section.precision)
        fabric.launch()
    except (RuntimeError, ValueError, MisconfigurationException) as error:
        raise UserError(
            f"runtime.accelerator = {runtime.accelerator}, runtime.devices = {runtime.devices}: not available here "
            f"({error}); accelerator: cpu always works"
        ) from None
    torch.set_num_threads(runtime.threads)  # after launch, which sets its own
    return fabric


def train(
    phase: Phase,
    batches: TrainingBatches,
    validation: Sequence[Batch],
    section: Training,
    scratch: Scratch,
    *,
    workers: int,
    parent: int | None,
    score: str | None,
) -> Iterator[Progress]:
    """Train from the last checkpoint, or from the start, to the section's last step.

    Args:
        workers: processes that prepare batches ahead.
        parent: process id of DVC, if it started the stage; see `StopRequest`.
        score: name of the validation score whose best weights are kept; None keeps none.

    Yields:
        The one progress, which goes on: at the start, and whenever the curve has a new point. The phase's networks have
        the last weights.

    Raises:
        Stopped: a signal, or the death of DVC; the checkpoint holds everything.
        UserError: the disk has no room for the checkpoints, or the training has diverged.
    """
    fabric = phase.fabric
    progress = _resume(phase, section, scratch)
    remaining = range(progress.step, section.steps)
    if not remaining:
        # A skipped phase, whose curve is one point, or one whose last validation the checkpoint does not have.
        if not (progress.curve and progress.curve[-1]["step"] == section.steps):
            _validate(phase, validation, section, progress, score)
        yield progress
        return
    _announce(phase, batches, section, scratch, remaining)
    yield progress
    with StopRequest(parent) as stop, _bar(section, scratch, progress, fabric) as bar:
        for batch in loader(batches, remaining, workers, fabric.device.type == "cuda"):
            losses = _step(phase, batch, section, progress)
            bar.update(section.batch)
            if progress.step % 20 == 0 and not bar.disable:
                bar.set_postfix({name: f"{loss.item():.4f}" for name, loss in losses.items()})  # a sync point

            last = progress.step == section.steps
            due = progress.step % section.validate_every == 0
            saved = last and not due  # a longer training would not validate here, and may go on from this checkpoint
            if saved:
                _save(phase, progress, scratch)
            if last or due:
                _validate(phase, validation, section, progress, score)
                yield progress
            stopping = _wanted_anywhere(stop, fabric)
            if not saved and (last or stopping or progress.step % section.checkpoint_every == 0):
                _save(phase, progress, scratch)
            if stopping and not last:
                raise Stopped(
                    f"{scratch.stage}: stopped after step {progress.step} of {section.steps} ({stop.reason}); "
                    "the checkpoint is saved, run the same command again to go on"
                )


def _step(phase: Phase, batch: Batch, section: Training, progress: Progress) -> dict[str, Tensor]:
    """Train on one batch, at the learning rates of the step; returns its losses."""
    for optimiser in phase.optimisers.values():
        set_learning_rate(optimiser, schedule_factor(section.schedule, progress.step, section.steps))
    losses = phase.step([phase.images(part) for part in batch.split(section.accumulate)])
    for name, loss in losses.items():
        progress.sums[name] = progress.sums.get(name, torch.zeros_like(loss)) + loss
    progress.step += 1
    return losses


def _bar(section: Training, scratch: Scratch, progress: Progress, fabric: Fabric) -> "tqdm[Any]":
    return tqdm(
        total=section.steps * section.batch,
        initial=progress.step * section.batch,
        desc=scratch.stage,
        unit=" images",
        disable=True if fabric.global_rank else None,  # None: shown on a terminal only
    )


def _wanted_anywhere(stop: StopRequest, fabric: Fabric) -> bool:
    """Whether to stop; every process of a training gets the same answer."""
    if fabric.world_size == 1:
        return bool(stop.reason)
    return total(fabric, torch.tensor(float(bool(stop.reason)), device=fabric.device)).item() > 0


def _save(phase: Phase, progress: Progress, scratch: Scratch) -> None:
    """Save a checkpoint, once for all processes, which go on or stop only when it stands."""
    if phase.fabric.world_size > 1:  # every process resumes from the same sums
        progress.sums = {k: total(phase.fabric, v) / phase.fabric.world_size for k, v in progress.sums.items()}
    if phase.fabric.global_rank == 0:
        scratch.save(_state(phase, progress))
    phase.fabric.barrier()


def _validate(
    phase: Phase, validation: Sequence[Batch], section: Training, progress: Progress, score: str | None
) -> None:
    """Add a point to the curve, and keep the weights if they are the best so far."""
    factor = schedule_factor(section.schedule, progress.step - 1, section.steps) if section.steps else 1.0
    since = progress.step - (int(progress.curve[-1]["step"]) if progress.curve else 0)
    point: Point = {"step": progress.step, "images": progress.step * section.batch, "schedule": factor}
    for name, summed in progress.sums.items():
        point[name] = total(phase.fabric, summed).item() / phase.fabric.world_size / since
    progress.sums = {}
    point |= phase.validate(validation)
    progress.curve.append(point)
    if not all(np.isfinite(list(point.values()))):
        raise UserError(
            f"training diverged before step {progress.step}: {point}; lower the learning rate of this stage"
        )
    if score is not None and point[score] > progress.best_score:
        progress.best_score = point[score]
        progress.best = {"completion": copy.deepcopy(phase.kept("completion").state_dict())}


def _state(phase: Phase, progress: Progress) -> dict[str, Any]:
    return {
        "progress": dict(vars(progress)),
        "networks": {name: network.state_dict() for name, network in phase.networks.items()},
        "optimisers": {name: optimiser.state_dict() for name, optimiser in phase.optimisers.items()},
        "averages": {name: average.state_dict() for name, average in phase.averages.items()},
        "memory": dict(phase.memory),
    }


def _load(phase: Phase, state: dict[str, Any]) -> None:
    for name, network in phase.networks.items():
        network.load_state_dict(state["networks"][name])
    for name, optimiser in phase.optimisers.items():
        optimiser.load_state_dict(state["optimisers"][name])
    for name, average in phase.averages.items():
        average.load_state_dict(state["averages"][name])
    phase.memory = dict(state["memory"])


def _resume(phase: Phase, section: Training, scratch: Scratch) -> Progress:
    """Go on from the checkpoint, unless it is beyond the last step, or of a training that is to be repeated."""
    state = scratch.load(phase.fabric.device)
    if state is None:
        return Progress()
    progress = Progress(**state["progress"])
    finished = scratch.finished
    # DVC has recorded a settled training. If the same is wanted again, then by --force: in earnest.
    repeated = finished is not None and finished.settled and progress.step == section.steps
    if progress.step > section.steps or repeated:
        return Progress()
    if finished is not None and progress.step < section.steps and phase.fabric.global_rank == 0:
        print(f"{scratch.stage}: goes on from the finished training of {progress.step} steps", flush=True)
    _load(phase, state)
    return progress


def _announce(phase: Phase, batches: TrainingBatches, section: Training, scratch: Scratch, remaining: range) -> None:
    """Say how long it will take and how much disk, from a few trial steps that are then undone.

    Raises:
        UserError: the checkpoints will not fit on the disk.
    """
    before = copy.deepcopy(_state(phase, Progress()))
    batch = batches[remaining.start]
    seconds = []
    for _ in range(3):  # the first one also warms up
        started = time.monotonic()
        for loss in phase.step([phase.images(part) for part in batch.split(section.accumulate)]).values():
            loss.item()  # wait for the device
        seconds.append(time.monotonic() - started)
    after = _state(phase, Progress())
    _load(phase, before)
    # A checkpoint holds networks, optimisers and the best weights; a new one stands beside the old for a moment.
    needed = 2 * (_bytes(after) + _bytes(after["networks"]))
    scratch.folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(scratch.folder).free
    if needed > free:
        raise UserError(
            f"{scratch.folder}: checkpoints need {needed / 1e6:.0f} MB, but {free / 1e6:.0f} MB are free; free some"
        )
    if phase.fabric.global_rank:
        return
    minutes = min(seconds[1:]) * len(remaining) / 60
    print(
        f"{scratch.stage}: steps {remaining.start}–{section.steps}, batch {section.batch}, on "
        f"{phase.fabric.device} ({phase.fabric.world_size} process(es)); about {minutes:.1f} minutes and "
        f"{needed / 1e6:.0f} MB of disk",
        flush=True,
    )


def _bytes(state: Any) -> int:
    if isinstance(state, Tensor):
        return state.numel() * state.element_size()
    if isinstance(state, dict):
        return sum(_bytes(value) for value in state.values())
    return 0
