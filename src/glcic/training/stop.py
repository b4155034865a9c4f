"""When to stop early: a signal, or the death of the process that started the stage."""

import os
import signal
from types import FrameType
from typing import Self

import torch
from lightning_fabric import Fabric

from glcic.training.phase import total


class Interrupted(Exception):
    """Training stopped before its last step; the checkpoint is saved.

    A stage must exit non-zero on it, because DVC records a stage that exits 0 as finished.
    """


class StopRequest:
    """Turns SIGINT and SIGTERM into a question the loop asks after each step; a second signal kills.

    Under DVC (`DVC_STAGE` is set) the death of the parent counts as well: a SIGTERM to DVC's own process
    alone would leave its child training as an orphan.
    """

    def __init__(self, parent: int) -> None:
        """`parent`: process id of the stage's parent at its very start; by now it may be gone."""
        self.reason = ""
        self._parent = parent if "DVC_STAGE" in os.environ else None

    def __enter__(self) -> Self:
        self._previous = {s: signal.signal(s, self._handle) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.reason = signal.Signals(number).name
        signal.signal(number, self._previous[signal.Signals(number)])

    def requested(self, fabric: Fabric) -> bool:
        """Whether to stop; every process of a training gets the same answer."""
        if self._parent is not None and os.getppid() != self._parent:
            self.reason = "the process that started this stage is gone"
        if fabric.world_size == 1:
            return bool(self.reason)
        return total(fabric, torch.tensor(float(bool(self.reason)), device=fabric.device)).item() > 0
