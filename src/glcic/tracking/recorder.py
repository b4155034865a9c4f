"""What happens in a training stage, written down while it happens: on the terminal, in files, and in MLflow."""

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from tqdm import tqdm

from glcic import paths
from glcic.data.batches import Batch
from glcic.params import Params, Training
from glcic.tracking.alarmed import alarms_of
from glcic.tracking.environment import describe
from glcic.tracking.row import Row, open_row
from glcic.training.curves import Point, write_curve
from glcic.training.loop import Progress
from glcic.training.phase import Phase
from glcic.training.samples import write_samples


class Recorder:
    """Writes a line, the curve's file and the sample grid at each point of the curve, and all of it into the row.

    What a stage leaves in the end it writes itself; this is for who looks on meanwhile. As a context it marks the row
    as killed when the training does not come to its end.
    """

    def __init__(
        self, stage: str, configuration: Params, phase: Phase, shown: Batch, data: Mapping[str, Any] | None = None
    ) -> None:
        """Nothing is written yet.

        Args:
            configuration: all of params.yaml: a row in MLflow is one configuration of the pipeline.
            shown: validation images of the sample grid.
            data: summary of the packed faces.
        """
        self.stage = stage
        self.section: Training = getattr(configuration, stage)
        self.params = configuration.model_dump(mode="json")
        self.phase = phase
        self.shown = shown
        self.data = data
        self.row: Row | None = None  # of MLflow; None: not opened yet, tracking is off, or it has failed
        self.first: int | None = None  # the step that the training starts or goes on from

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None) -> None:
        if kind is not None and self.row is not None:  # whatever it was: nobody is training any more
            self.row.interrupt()

    def record(self, progress: Progress) -> None:
        """Open the row at the start of a training; later, write down the newest point of its curve."""
        if self.first is None:
            self._open(progress)
            return
        point = progress.curve[-1]
        rate = (progress.step - self.first) * self.section.batch / (time.monotonic() - self.opened)
        tqdm.write(self._line(point, rate))  # a progress bar stays whole
        sys.stdout.flush()  # or a log file would show it only much later
        write_curve(paths.REPORT.curve(self.stage), progress.curve)
        grid = write_samples(paths.REPORT.sample(self.stage), self.phase, self.shown)
        self._alarm(progress)
        if self.row is not None:
            values = {name: value for name, value in point.items() if name != "step"}
            self.row.log_point(progress.step, {**values, "images_per_second": rate})
            if grid is not None:
                self.row.log_image(progress.step, grid)

    def finish(self) -> None:
        """The stage has written its outputs: close its part of the row."""
        if self.row is not None:
            self.row.finish(paths.MODELS / self.stage)

    def _open(self, progress: Progress) -> None:
        self.first = progress.step
        self.alarms = alarms_of(self.params, self.stage, progress.curve)  # told before the checkpoint
        self.row = open_row(
            paths.ROOT,
            self.params,
            stage=self.stage,
            step=progress.step,
            curve=progress.curve,
            environment=describe(str(self.phase.fabric.device), paths.CODE),
            data=self.data,
        )
        if self.row is not None and self.alarms:  # of the checkpoint's points, which the row may be without
            self.row.tag_alarms(self.alarms)
        self.opened = time.monotonic()

    def _alarm(self, progress: Progress) -> None:
        """Say which alarms begin, and tag the row with those that are on."""
        before, self.alarms = self.alarms, alarms_of(self.params, self.stage, progress.curve)
        for name in [name for name in self.alarms if name not in before]:
            tqdm.write(f"warning: {self.stage}: {name.replace('_', ' ')} {self.alarms[name]}", file=sys.stderr)
        if self.row is not None and self.alarms != before:
            self.row.tag_alarms(self.alarms)

    def _line(self, point: Point, rate: float) -> str:
        step, steps = int(point["step"]), self.section.steps
        left = (steps - step) * self.section.batch / rate / 60
        shown = "  ".join(f"{k} {v:.4g}" for k, v in point.items() if k not in ("step", "images", "schedule"))
        return f"{self.stage} {step}/{steps}  {shown}  {rate:.0f} images/s  {left:.1f} min left"
