"""Recording of a training stage while it runs: on the terminal, in files and in MLflow."""

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from tqdm import tqdm

from glcic import paths
from glcic.data.batches import Batch
from glcic.params import Params, Training
from glcic.tracking import made_on
from glcic.tracking.alarm_tags import alarms_of
from glcic.tracking.environment import describe
from glcic.tracking.stage_run import StageRun, open_run
from glcic.training.checkpoints import Checkpoints
from glcic.training.curves import Point, write_curve
from glcic.training.loop import TrainState
from glcic.training.phase import Phase
from glcic.training.samples import write_samples


class Recorder:
    """Prints a line, writes the curve and the sample grid, and logs to the MLflow run at each point of the curve.

    The stage writes its final outputs itself; the recorder shows progress. As a context manager, it marks the run as
    killed if the training does not finish.
    """

    def __init__(
        self,
        stage: str,
        configuration: Params,
        phase: Phase,
        shown: Batch,
        data: Mapping[str, Any] | None = None,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        """Store the arguments; nothing is written yet.

        Args:
            stage: name of the stage.
            configuration: all of params.yaml, since an MLflow run is one configuration of the pipeline.
            phase: the phase that is trained.
            shown: validation images of the sample grid.
            data: summary of the packed images.
            checkpoints: those of the stage; they know the versions of the code that train.
        """
        self.stage = stage
        self.section: Training = getattr(configuration, stage)
        self.params = configuration.model_dump(mode="json")
        self.runtime = configuration.runtime
        self.phase = phase
        self.shown = shown
        self.data = data
        self.checkpoints = checkpoints
        self.run: StageRun | None = None  # None: not opened yet, tracking is off, or it has failed
        self.first: int | None = None  # step at which the training starts or resumes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None) -> None:
        if kind is not None and self.run is not None:  # whatever the error, training has ended
            self.run.interrupt()

    def record(self, state: TrainState) -> None:
        """Open the run on the first call; after that, record the newest point of the curve."""
        if self.first is None:
            self._open(state)
            return
        point = state.curve[-1]
        rate = (state.step - self.first) * self.section.batch_size / (time.monotonic() - self.opened)
        tqdm.write(self._line(point, rate))  # keeps progress bars intact
        sys.stdout.flush()  # otherwise it reaches a log file much later
        write_curve(paths.REPORT.curve(self.stage), state.curve)
        grid = write_samples(paths.REPORT.sample(self.stage), self.phase, self.shown)
        self._alarm(state)
        if self.run is not None:
            values = {name: value for name, value in point.items() if name != "step"}
            self.run.log_point(state.step, {**values, "images_per_second": rate})
            if grid is not None:
                self.run.log_image(state.step, grid)

    def finish(self) -> None:
        """Close the stage's part of the run, and say what it ran on, after the stage has written its outputs."""
        made_on.record(self.stage, self.ran_on)
        if self.run is not None:
            self.run.finish(paths.MODELS / self.stage)

    def _open(self, state: TrainState) -> None:
        self.first = state.step
        device = str(self.phase.fabric.device)
        self.ran_on = made_on.begin(
            self.stage,
            made_on.machine(device, self.runtime),
            step=state.step,
            steps=self.section.steps,
            checkpoints=self.checkpoints.folder if self.checkpoints else None,
        )
        self.alarms = alarms_of(self.params, self.stage, state.curve)  # printed before the checkpoint
        self.run = open_run(
            paths.ROOT,
            self.params,
            stage=self.stage,
            step=state.step,
            curve=state.curve,
            environment=describe(device, paths.CODE)
            | {"code": [version.plain() for version in self.checkpoints.versions] if self.checkpoints else []},
            data=self.data,
        )
        if self.run is not None and self.alarms:  # the run may lack the alarms of the checkpoint's points
            self.run.tag_alarms(self.alarms)
        self.opened = time.monotonic()

    def _alarm(self, state: TrainState) -> None:
        """Print new alarms, and tag the run with all current ones."""
        before, self.alarms = self.alarms, alarms_of(self.params, self.stage, state.curve)
        for name in [name for name in self.alarms if name not in before]:
            tqdm.write(f"warning: {self.stage}: {name.replace('_', ' ')} {self.alarms[name]}", file=sys.stderr)
        if self.run is not None and self.alarms != before:
            self.run.tag_alarms(self.alarms)

    def _line(self, point: Point, rate: float) -> str:
        step, steps = int(point["step"]), self.section.steps
        left = (steps - step) * self.section.batch_size / rate / 60
        shown = "  ".join(f"{k} {v:.4g}" for k, v in point.items() if k not in ("step", "images_seen", "lr_factor"))
        return f"{self.stage} {step}/{steps}  {shown}  {rate:.0f} images/s  {left:.1f} min left"
