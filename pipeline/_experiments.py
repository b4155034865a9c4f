"""What commands above the stages need of git and DVC: commits, experiments, and the queue they wait in."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
from ruamel.yaml import YAML

from glcic import paths
from glcic.errors import UserError
from glcic.experiments.compare import Run, method
from glcic.experiments.repository import experiments, git

COPIES = Path(".dvc/tmp/exps")  # where the worker's copies of the project lie
POLL, SPOKEN = 1, 60  # seconds between two looks at the queue, and between two lines on a terminal
GRACE = 180  # seconds a training has to finish its step and save its checkpoint


class Stopped(Exception):
    """The user, or the machine going down, wants an end."""


class Stop:
    """Turns SIGINT, SIGTERM and SIGHUP into a question: a DVC command cut in the middle would leave half an entry."""

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.asked = 0

    def __enter__(self) -> "Stop":
        self._previous = {s: signal.signal(s, self._handle) for s in self.signals}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.asked += 1

    def check(self) -> None:
        """Raise Stopped if somebody asked."""
        if self.asked:
            raise Stopped


def dvc(
    *arguments: str,
    stop: Stop,
    shown: bool = False,
    folder: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> None:
    """Run a DVC command in a session of its own, so that Ctrl-C reaches it only through us.

    Args:
        shown: a long command, whose output the user sees and which ends early when asked to stop.
        folder: where to run it, if not here.

    Raises:
        Stopped: somebody asked.
        UserError: the command failed.
    """
    stop.check()
    # A file, not a pipe: the worker that `queue start` leaves behind would keep a pipe open.
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "dvc", *arguments],
            cwd=folder,
            env={**environment, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"},
            stdin=subprocess.DEVNULL,
            stdout=None if shown else output,
            stderr=None if shown else subprocess.STDOUT,
            start_new_session=True,
        )
        told = 0
        while True:
            try:
                process.wait(0.2)
                break
            except subprocess.TimeoutExpired:
                if shown and stop.asked > told:
                    told = stop.asked
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGINT if told == 1 else signal.SIGKILL)
        stop.check()
        output.seek(0)
        if process.returncode:
            raise UserError(f"`dvc {' '.join(arguments)}` failed: {output.read()[-500:] or 'see the lines above'}")


def _experiments(name: str) -> dict[str, str]:
    """Experiments of this name, ref → commit: one for each commit that such an experiment started from."""
    return {ref: sha for ref, sha in experiments().items() if ref.rpartition("/")[2] == name}


def finished(run: Run) -> str | None:
    """Commit of the experiment that has the run's name and parameters."""
    return next((sha for sha in _experiments(run.name).values() if _has_params(sha, run)), None)


def _has_params(commit: str, run: Run) -> bool:
    tree = YAML(typ="safe").load(git("show", f"{commit}:./{paths.PARAMS}"))
    return method(tree) == run.method


def remove_experiments(name: str) -> None:
    for ref, sha in _experiments(name).items():
        print(f"{name}: removing experiment {sha[:7]}, whose parameters are others", flush=True)
        git("update-ref", "-d", ref)  # `dvc exp remove` would not know which, if there are several


@dataclass
class Queue:
    """DVC's queue of experiments and its worker.

    Read through DVC's library, since a `dvc queue status` takes seconds of a processor and trainings are watched for
    hours; filled and started by its commands.
    """

    stop: Stop
    _root: Path = field(default_factory=lambda: Path.cwd().resolve())

    @cached_property
    def _queue(self) -> Any:
        from dvc.repo import Repo

        return Repo().experiments.celery_queue

    def settle(self) -> None:
        """Declare as failed what a dead worker left behind as running.

        A reboot or SIGKILL leaves such entries, and DVC would wait for them for ever.
        """
        if self._processes():
            return
        for entry in list(self._queue.iter_active()):
            info = self._queue.proc.get(entry.stash_rev)
            if info is not None and info.returncode is None:
                info.returncode = -1  # or DVC would signal a process id that may be somebody else's by now
                self._queue.proc[entry.stash_rev] = info
            with suppress(FileNotFoundError):
                copy = Path(self._queue._load_info(entry.stash_rev).root_dir).resolve()
                if copy.parent == self._root / COPIES:
                    shutil.rmtree(copy, ignore_errors=True)
            self._queue.kill([entry.stash_rev])

    def waiting(self, runs: Mapping[str, Run]) -> dict[str, str]:
        """Runs that are queued or running as wanted, and which of both; queued otherwise, they are removed.

        Raises:
            UserError: one is running with other parameters.
        """
        states = {}
        for entry in list(self._queue.iter_active()):
            if run := runs.get(entry.name):
                if not _has_params(entry.stash_rev, run):
                    raise UserError(
                        f"{entry.name} is training with other parameters; wait, or stop it: dvc queue kill {entry.name}"
                    )
                states[entry.name] = "running"
        head = git("rev-parse", "HEAD").strip()
        for entry in list(self._queue.iter_queued()):
            if run := runs.get(entry.name):
                if entry.name in states or entry.baseline_rev != head or not _has_params(entry.stash_rev, run):
                    self._remove([entry])
                else:
                    states[entry.name] = "queued"
        return states

    def forget(self, name: str) -> None:
        """Remove what the queue remembers of earlier attempts."""
        self._remove([done.entry for done in self._queue.iter_done() if done.entry.name == name])

    def _remove(self, entries: Sequence[Any]) -> None:
        from dvc.repo.experiments.queue.remove import remove_tasks

        remove_tasks(self._queue, entries)

    def work(self, runs: Mapping[str, Run]) -> dict[str, str]:
        """Let one worker train the runs, which are queued or running; tell how it goes.

        Returns:
            The finished ones' commits.

        Raises:
            Stopped: and no process of the queue is left.
        """
        done: dict[str, str] = {}
        logs: dict[str, Path] = {}
        open_ = dict(runs)
        spoken = time.monotonic()
        try:
            while open_:
                self.stop.check()
                active = {entry.name: entry.stash_rev for entry in self._queue.iter_active()}
                queued = {entry.name for entry in self._queue.iter_queued()}
                for name in [name for name in open_ if name in active and name not in logs]:
                    logs[name] = Path(self._queue.pid_dir) / active[name] / f"{active[name]}.out"
                    print(f"{name}: training", flush=True)
                for name in [name for name in open_ if name not in active and name not in queued]:
                    if sha := finished(open_.pop(name)):
                        done[name] = sha
                        print(f"{name}: done", flush=True)
                    else:
                        print(f"{name}: failed\n{_tail(logs.get(name), 15)}", flush=True)
                if open_ and not self._processes():
                    self.settle()
                    if queued:
                        dvc("queue", "start", "-j", "1", stop=self.stop)
                if sys.stdout.isatty() and time.monotonic() > spoken + SPOKEN:
                    spoken = time.monotonic()
                    for name in active:
                        print(f"{name}: {_tail(logs.get(name), 1)}", flush=True)
                time.sleep(POLL)
        except BaseException:  # whatever it was (a closed terminal, a full disk), no training is left behind
            with suppress(OSError):
                print("stopping: the training saves its checkpoint", file=sys.stderr, flush=True)
            self._end_worker()
            self.settle()
            raise
        if runs and not any(True for _ in self._queue.iter_queued()):
            self._end_worker()  # it would go by itself, a while later
        return done

    def _end_worker(self) -> None:
        """SIGINT to every process of the queue, then wait until all are gone.

        That is what `dvc queue kill` does, whereas `dvc queue stop --kill` kills the process above the training with
        SIGKILL. A worker takes no further task, a training saves its checkpoint. One that does not end is killed.
        """
        asked, deadline = self.stop.asked, time.monotonic() + GRACE
        told: set[psutil.Process] = set()
        while processes := self._processes():
            patient = time.monotonic() < deadline and self.stop.asked <= asked
            for process in processes:
                if process not in told or not patient:
                    told.add(process)
                    with suppress(psutil.NoSuchProcess):
                        process.send_signal(signal.SIGINT if patient else signal.SIGKILL)
            time.sleep(0.2)

    def _processes(self) -> list[psutil.Process]:
        """The worker of this project, and all that works in its copies."""
        copies = self._root / COPIES
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                folder, command = Path(process.cwd()), process.cmdline()
                inside = copies in folder.parents and "standalone" not in folder.relative_to(copies).parts
                worker = folder == self._root and "queue-worker" in command
                starting = "exec-run" in command and any(part.startswith(str(copies)) for part in command)
                if inside or worker or starting:
                    found.append(process)
        return found


def _tail(log: Path | None, lines: int) -> str:
    if log is None or not log.exists():
        return "no output; the reason may be in .dvc/tmp/exps/celery/dvc-exp-worker-1.out"
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").rstrip().splitlines()[-lines:])
