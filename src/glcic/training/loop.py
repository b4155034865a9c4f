"""The training loop, shared by all three phases."""

import copy
import ctypes
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
from glcic.training.checkpoints import KEPT, Checkpoints
from glcic.training.curves import Point
from glcic.training.optimizers import lr_factor, set_lr
from glcic.training.phase import Phase, total
from glcic.training.stop import Stopped, StopRequest

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h


@dataclass
class TrainState:
    """State that a resumed training needs besides its networks and optimizers."""

    step: int = 0
    curve: list[Point] = field(default_factory=list)
    sums: dict[str, Tensor] = field(default_factory=dict)  # sums of the losses since the last point of the curve
    best: dict[str, dict[str, Tensor]] = field(default_factory=dict)  # weights at the best validation score
    best_score: float = float("-inf")


def start_fabric(runtime: Runtime, section: Training) -> Fabric:
    """Set up device, precision and processes, and make all operations deterministic, unless `runtime` says otherwise.

    Raises:
        UserError: the requested device is not available.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # otherwise matrix products on CUDA vary
    torch.use_deterministic_algorithms(runtime.deterministic, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # costs time
    torch.backends.cudnn.benchmark = not runtime.deterministic  # tries the algorithms, and takes the fastest
    try:
        fabric = Fabric(accelerator=runtime.accelerator, devices=runtime.devices, precision=section.precision)
        fabric.launch()
    except (RuntimeError, ValueError, MisconfigurationException) as error:
        raise UserError(
            f"runtime.accelerator = {runtime.accelerator}, runtime.devices = {runtime.devices}: not available here "
            f"({error}); accelerator: cpu always works"
        ) from None
    torch.set_num_threads(runtime.num_threads)  # after the launch, which sets another number
    if fabric.device.type == "cpu":
        keep_memory()
    return fabric


def keep_memory() -> None:
    """Let glibc keep freed memory; by default it gives large pieces back, and gets them again page by page.

    Every step takes and frees the same pieces. Other C libraries have no such switch.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)  # no piece is a mapping of its own, which would end with it
        mallopt(M_TRIM_THRESHOLD, -1)


def train(
    phase: Phase,
    batches: TrainingBatches,
    validation: Sequence[Batch],
    section: Training,
    checkpoints: Checkpoints,
    *,
    num_workers: int,
    parent: int | None,
    score: str | None,
) -> Iterator[TrainState]:
    """Train from the last checkpoint, or from the start, to the section's last step.

    Args:
        phase: the phase, with its networks in their initial state.
        batches: the training batches.
        validation: the validation batches.
        section: the parameters of the stage.
        checkpoints: the checkpoints of the stage.
        num_workers: number of processes that prefetch batches.
        parent: process id of DVC, if it started the stage; see `StopRequest`.
        score: name of the validation score whose best weights are kept; None keeps none.

    Yields:
        The state, always the same object, at the start and at every new point of the curve. The phase's networks
        have the latest weights.

    Raises:
        Stopped: a signal, or the end of DVC, stopped the training; the checkpoint is complete.
        UserError: the disk has no room for the checkpoints, or the training has diverged.
    """
    fabric = phase.fabric
    state = _resume(phase, section, checkpoints)
    remaining = range(state.step, section.steps)
    if not remaining:
        # The phase is skipped, and its curve is a single point, or the checkpoint lacks the last validation.
        if not (state.curve and state.curve[-1]["step"] == section.steps):
            _validate(phase, validation, section, state, score)
        yield state
        return
    _announce(phase, batches, section, checkpoints, remaining)
    yield state
    # Whether to stop is asked in every step, on the CPU: no process waits for its device.
    everyone: Any = torch.distributed.new_group(backend="gloo") if fabric.world_size > 1 else None
    with StopRequest(parent) as stop, _bar(section, checkpoints, state, fabric) as bar:
        for batch in loader(batches, remaining, num_workers, fabric.device.type == "cuda"):
            losses = take_step(phase, batch, section, state)
            bar.update(section.batch_size)
            if state.step % 20 == 0 and not bar.disable:
                bar.set_postfix({name: f"{loss.item():.4f}" for name, loss in losses.items()})  # a sync point

            last = state.step == section.steps
            due = state.step % section.validate_every == 0
            early = last and not due  # a longer training may continue from here, and would not validate now
            if early:
                _save(phase, state, checkpoints)
            if last or due:
                _validate(phase, validation, section, state, score)
                yield state
            stopping = _wanted_anywhere(stop, everyone)
            if not early and (last or stopping or state.step % section.checkpoint_every == 0):
                _save(phase, state, checkpoints)
            if stopping and not last:
                raise Stopped(
                    f"{checkpoints.stage}: stopped after step {state.step} of {section.steps} ({stop.reason}); "
                    "the checkpoint is saved, run the same command again to continue"
                )


def take_step(phase: Phase, batch: Batch, section: Training, state: TrainState) -> dict[str, Tensor]:
    """Train on one batch with the learning rate of the state's step; returns scalar losses."""
    for optimizer in phase.optimizers.values():
        set_lr(optimizer, lr_factor(section.lr_schedule, state.step, section.steps))
    losses = phase.step([phase.preprocess(part) for part in batch.split(section.grad_accum_steps)])
    for name, loss in losses.items():
        state.sums[name] = state.sums.get(name, torch.zeros_like(loss)) + loss
    state.step += 1
    return losses


def _bar(section: Training, checkpoints: Checkpoints, state: TrainState, fabric: Fabric) -> "tqdm[Any]":
    return tqdm(
        total=section.steps * section.batch_size,
        initial=state.step * section.batch_size,
        desc=checkpoints.stage,
        unit=" images",
        disable=True if fabric.global_rank else None,  # None shows it on terminals only
    )


def _wanted_anywhere(stop: StopRequest, everyone: "torch.distributed.ProcessGroup | None") -> bool:
    """Whether any process was asked to stop; all processes get the same answer."""
    wanted = torch.tensor(bool(stop.reason), dtype=torch.int32)
    if everyone is not None:
        torch.distributed.all_reduce(wanted, group=everyone)
    return bool(wanted)


def _save(phase: Phase, state: TrainState, checkpoints: Checkpoints) -> None:
    """Save one checkpoint for all processes, and let them continue only after it is written."""
    if phase.fabric.world_size > 1:  # all processes resume from the same sums
        state.sums = {k: total(phase.fabric, v) / phase.fabric.world_size for k, v in state.sums.items()}
    if phase.fabric.global_rank == 0:
        checkpoints.save(_state(phase, state), state.step)
    phase.fabric.barrier()


def _validate(
    phase: Phase, validation: Sequence[Batch], section: Training, state: TrainState, score: str | None
) -> None:
    """Add a point to the curve, and keep the weights if they score best so far."""
    factor = lr_factor(section.lr_schedule, state.step - 1, section.steps) if section.steps else 1.0
    since = state.step - (int(state.curve[-1]["step"]) if state.curve else 0)
    point: Point = {"step": state.step, "images_seen": state.step * section.batch_size, "lr_factor": factor}
    for name, summed in state.sums.items():
        point[name] = total(phase.fabric, summed).item() / phase.fabric.world_size / since
    state.sums = {}
    point |= phase.validate(validation)
    state.curve.append(point)
    if not all(np.isfinite(list(point.values()))):
        raise UserError(f"training diverged before step {state.step}: {point}; lower the learning rate of this stage")
    if score is not None and point[score] > state.best_score:
        state.best_score = point[score]
        state.best = {"generator": copy.deepcopy(phase.scored("generator").state_dict())}


def _state(phase: Phase, state: TrainState) -> dict[str, Any]:
    return {
        "train_state": dict(vars(state)),
        "networks": {name: network.state_dict() for name, network in phase.networks.items()},
        "optimizers": {name: optimizer.state_dict() for name, optimizer in phase.optimizers.items()},
        "averages": {name: average.state_dict() for name, average in phase.averages.items()},
        "memory": dict(phase.memory),
    }


def _load(phase: Phase, saved: dict[str, Any]) -> None:
    for name, network in phase.networks.items():
        network.load_state_dict(saved["networks"][name])
    for name, optimizer in phase.optimizers.items():
        optimizer.load_state_dict(saved["optimizers"][name])
    for name, average in phase.averages.items():
        average.load_state_dict(saved["averages"][name])
    phase.memory = dict(saved["memory"])


def _resume(phase: Phase, section: Training, checkpoints: Checkpoints) -> TrainState:
    """Resume from the checkpoint, unless it is beyond the last step, or its training is to be repeated."""
    first = phase.fabric.global_rank == 0
    saved = checkpoints.load(phase.fabric.device, speak=first)
    phase.fabric.barrier()
    finished = checkpoints.finished
    state = TrainState()
    try:
        if saved:
            state = TrainState(**saved["train_state"])
            # DVC has recorded a settled training: a request for the same one means that the user forced a rerun.
            repeated = finished is not None and finished.settled and state.step == section.steps
            if state.step > section.steps or repeated:
                state = TrainState()
            else:
                _load(phase, saved)
    except (TypeError, KeyError, ValueError, RuntimeError) as error:  # the code has changed what it saves
        raise UserError(
            f"{checkpoints.folder}: this code cannot read the checkpoint ({error}); go back to the code that saved it, "
            f"or start anew after `glcic checkpoints --remove {checkpoints.folder.name}`"
        ) from None
    if first:
        if finished is not None and 0 < state.step < section.steps:
            print(f"{checkpoints.stage}: goes on from the finished training of {state.step} steps", flush=True)
        checkpoints.started(state.step)
    phase.fabric.barrier()
    return state


def _announce(
    phase: Phase, batches: TrainingBatches, section: Training, checkpoints: Checkpoints, remaining: range
) -> None:
    """Print estimates of time and disk space, from a few trial steps that are then undone.

    Raises:
        UserError: the checkpoints do not fit on the disk.
    """
    before = copy.deepcopy(_state(phase, TrainState()))
    batch = batches[remaining.start]
    seconds = []
    for _ in range(3):  # the first one also warms up
        started = time.monotonic()
        for loss in phase.step([phase.preprocess(part) for part in batch.split(section.grad_accum_steps)]).values():
            loss.item()  # waits for the device
        seconds.append(time.monotonic() - started)
    after = _state(phase, TrainState())
    _load(phase, before)
    # A checkpoint holds networks, optimizers and the best weights; a new one coexists with the last ones for a moment.
    missing = max(1, KEPT + 1 - len(checkpoints.saved))
    needed = missing * (_bytes(after) + _bytes(after["networks"]))
    checkpoints.folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(checkpoints.folder).free
    if needed > free:
        raise UserError(
            f"{checkpoints.folder}: checkpoints need {needed / 1e6:.0f} MB, but {free / 1e6:.0f} MB are free; free "
            "some, as with `glcic checkpoints --remove`"
        )
    if phase.fabric.global_rank:
        return
    minutes = min(seconds[1:]) * len(remaining) / 60
    print(
        f"{checkpoints.stage}: steps {remaining.start}–{section.steps}, batch {section.batch_size}, on "
        f"{phase.fabric.device} ({phase.fabric.world_size} process(es)); about {minutes:.1f} minutes and "
        f"{needed / 1e6:.0f} MB of disk",
        flush=True,
    )


def _bytes(tree: Any) -> int:
    if isinstance(tree, Tensor):
        return tree.numel() * tree.element_size()
    if isinstance(tree, dict):
        return sum(_bytes(value) for value in tree.values())
    return 0
