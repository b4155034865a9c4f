"""Checkpoints that survive an interruption, and the lock that keeps a second trainer out.

Checkpoints are not DVC outputs, because DVC deletes outputs before a rerun. They are in a git-ignored folder, one per
key, a fingerprint of a stage's parameters and inputs, so a changed parameter or input never resumes the wrong training.
With a constant learning rate, no step depends on the number of steps; then `steps` is left out of the key, and a longer
training continues from the last checkpoint of a shorter one.

The last two checkpoints are kept, each with its digest in its name, so a damaged one costs an interval and not the
training. If the code has changed, the training starts anew, and its checkpoints are set aside, where
`glcic checkpoints` lists and removes them, or lets the training go on from them. `finished.py` decides how long the
checkpoints of a finished training are kept.
"""

import hashlib
import io
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from glcic import paths
from glcic.files import atomic, members, sha256_of, write_text
from glcic.training.code import UNKNOWN, Version, changed, dumped, parsed

if TYPE_CHECKING:  # importing torch takes seconds, and a list of checkpoints does not need it
    import torch

FINISHED = "finished.json"  # in the folder of a finished training, until one that continues it saves
VERSIONS = "code.json"  # the versions of the code that train there
CONTINUE = "continue"  # the user wants the training to go on under other code: empty, then the SHA-256 of that code
ASIDE = "set-aside"  # folder of the folders that no training looks for
WHY = "why.txt"  # in a folder set aside: the reason
KEPT = 2  # checkpoints
_NAME = re.compile(r"(?P<number>\d{6})-step-(?P<step>\d+)-(?P<sha256>[0-9a-f]{64})\.pt")


@dataclass(frozen=True)
class Finished:
    """Record of a finished training.

    Attributes:
        models: fingerprint of the resulting models.
        extendable: whether a longer training may continue from its checkpoint.
        settled: whether a later stage has started from its models.
    """

    models: str
    extendable: bool
    settled: bool = False


def content_hash(sections: Mapping[str, Any], files: Iterable[Path]) -> str:
    """SHA-256 (hexadecimal) of a stage's parameters and the content of its inputs.

    Args:
        sections: plain data of the stage's parameter sections.
        files: files or folders, without files that DVC ignores; names are hashed as given, so pass relative paths.

    Raises:
        UserError: a file does not exist.
    """
    digest = hashlib.sha256(json.dumps(sections, sort_keys=True).encode())
    for member in members(files):
        digest.update(f"{member.as_posix()} {sha256_of(member)}\n".encode())
    return digest.hexdigest()


def code_and_inputs(deps: Iterable[str]) -> tuple[list[Path], list[Path]]:
    """Files that a stage depends on in dvc.yaml: its source files, and its inputs.

    images.npy, which may have many GB, is left out: its SHA-256 is in summary.json, and `PackedImages.check` compares.

    Raises:
        UserError: a file does not exist.
    """
    code = [Path(dep) for dep in deps if Path(dep).parts[0] in paths.CODE]
    inputs = [Path(dep) for dep in deps if Path(dep).parts[0] not in paths.CODE]
    return members(code), [path for path in members(inputs) if path != paths.IMAGES_ARRAY]


def extendable(section: Mapping[str, Any]) -> bool:
    """Whether the steps of a training, whose section is given as plain data, do not depend on their number."""
    return section["lr_schedule"] == "constant" and section["steps"] > 0


def checkpoint_key(stage: str, sections: Mapping[str, Any], inputs: Iterable[Path]) -> str:
    """Content hash of a training stage.

    The number of steps is left out if it determines only where training ends; of weights to start from, only their
    content counts.
    """
    own = dict(sections[stage])
    if extendable(own):
        del own["steps"]
    if (init := own.pop("init", None)) is not None:
        own["init"] = init["sha256"]
    return content_hash({**sections, stage: own}, inputs)


@dataclass(frozen=True)
class Saved:
    """A checkpoint file, whose name has its number, its step and its SHA-256."""

    path: Path
    number: int
    step: int
    sha256: str


class Checkpoints:
    """The checkpoints of one stage under one key.

    Attributes:
        stage: name of the stage.
        folder: holds the checkpoints, the versions of the code and, after the end of the training, its record.
        lock_file: beside the folder; a process holds the lock while it trains there or moves the folder.
    """

    def __init__(self, root: Path, stage: str, key: str) -> None:
        self.stage = stage
        self.root = root
        self.folder = root / "checkpoints" / f"{stage}-{key[:16]}"
        self._finished = self.folder / FINISHED
        self._versions = self.folder / VERSIONS
        self._continue = self.folder / CONTINUE
        self.lock_file = self.folder.with_suffix(".lock")
        self._owner = self.folder.with_suffix(".owner")

    @staticmethod
    def all_finished(root: Path, stage: str) -> list["Checkpoints"]:
        """List a stage's finished trainings, the latest last."""
        found = []
        for mark in (root / "checkpoints").glob(f"{stage}-*/{FINISHED}"):
            with suppress(FileNotFoundError):  # another experiment has just removed it
                found.append((mark.stat().st_mtime_ns, mark.parent.name.removeprefix(f"{stage}-")))
        return [Checkpoints(root, stage, key) for _, key in sorted(found)]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder; while another process trains there, say so and wait."""
        self.lock_file.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.lock_file)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            owner = self._owner.read_text().strip() if self._owner.exists() else "another process"
            print(f"{self.stage}: {owner} is training this very stage; waiting for it", file=sys.stderr, flush=True)
            lock.acquire()
        try:
            self._owner.write_text(f"process {os.getpid()}\n")
            yield
        finally:
            self._owner.unlink(missing_ok=True)
            lock.release()

    def open(self, code: Version, steps: int) -> None:
        """Prepare the folder for a training under this code; call it once, with the lock held.

        Leftovers of a killed save are removed. Checkpoints that the training cannot go on from are set aside: those
        beyond its last step, and those of other code, unless the user has asked to continue from them.

        Args:
            code: the present code.
            steps: number of steps of the training.
        """
        for leftover in self.folder.glob(".[0-9]*"):  # named by `atomic`
            if leftover.is_file():
                leftover.unlink()
        saved = self.saved
        if not saved:
            self._remember_versions([code])
            return
        step = saved[-1].step
        left, differing = self._left(), self.differing(code)
        if step > steps:
            self._set_aside(f"{steps} steps are wanted; raise {self.stage}.steps before you continue from it", step)
            left = [code]
        elif differing and self.asked_to_continue(code):
            write_text(self._continue, code.sha256, durable=True)
            left = left or [UNKNOWN]
            if step < steps:
                print(
                    f"{self.stage}: goes on from step {step} under other code, as you asked; changed: "
                    f"{', '.join(differing)}",
                    flush=True,
                )
                left = [*left, replace(code, from_step=step)]
        elif differing:
            self._set_aside(f"other code made it; changed: {', '.join(differing)}", step)
            left = [code]
        self._remember_versions(left)

    def differing(self, code: Version) -> list[str]:
        """Files by which this code differs from the one that made the last checkpoint."""
        left = self._left()
        return changed(left[-1], code) if left else [f"a damaged {VERSIONS}, which hides by which"]

    def _left(self) -> list[Version]:
        """Versions of the code without those that have saved no step."""
        return [version for version in self.versions if version.from_step < self.saved[-1].step]

    def asked_to_continue(self, code: Version) -> bool:
        """Whether the user has asked to go on under this code: the first that starts after the order."""
        return self._continue.exists() and self._continue.read_text() in ("", code.sha256)

    def started(self, step: int) -> None:
        """Note that the training starts at this step; call it once, when every process has loaded its state.

        What is repeated belongs to the present code. A training that is repeated from the start removes the
        checkpoints of the one before, so that it cannot fall back to them.
        """
        if step == 0:
            for one in self.saved:
                one.path.unlink()
        if (versions := self.versions) and versions[-1].from_step > step:
            self._remember_versions([*versions[:-1], replace(versions[-1], from_step=step)])

    def _remember_versions(self, versions: Sequence[Version]) -> None:
        # Without those of which no step is left.
        kept = [v for k, v in enumerate(versions) if not any(w.from_step <= v.from_step for w in versions[k + 1 :])]
        write_text(self._versions, dumped(kept), durable=True)

    def _set_aside(self, why: str, step: int) -> None:
        aside = set_aside(self.root, self.folder, why)
        print(
            f"{self.stage}: starts anew, without the checkpoint of step {step} ({why}), which was set aside as "
            f"{aside.name} ({size_of(aside) / 1e6:.0f} MB); to go on from it all the same: "
            f"`glcic checkpoints --continue-from {aside.name}`; to free the space: the same with --remove",
            file=sys.stderr,
            flush=True,
        )

    @property
    def versions(self) -> list[Version]:
        """Versions of the code that train here, the present one last; empty if the file is missing or damaged."""
        try:
            return parsed(self._versions.read_text())
        except (FileNotFoundError, ValueError, TypeError):
            return []

    @property
    def saved(self) -> list[Saved]:
        """The checkpoints, the newest last."""
        return saved_in(self.folder)

    def save(self, state: Mapping[str, Any], step: int) -> None:
        """Save a checkpoint, and remove all but the last two.

        Raises:
            UserError: the disk is full; the last checkpoints are kept.
        """
        import torch

        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        data = buffer.getbuffer()
        before = self.saved
        number = before[-1].number + 1 if before else 1
        self._finished.unlink(missing_ok=True)
        path = self.folder / f"{number:06}-step-{step}-{hashlib.sha256(data).hexdigest()}.pt"
        with atomic(path, durable=True) as temporary:
            temporary.write_bytes(data)
        for old in self.saved[:-KEPT]:
            old.path.unlink(missing_ok=True)
        self._continue.unlink(missing_ok=True)  # only now: a killed training needs no second order

    def load(self, device: "torch.device", *, speak: bool = True) -> dict[str, Any] | None:
        """Load the last checkpoint, or the one before if it is damaged; None if there is none, or none is intact.

        Args:
            device: where to put the tensors.
            speak: whether to print a sentence about damaged checkpoints, which are then removed.
        """
        import torch

        damaged: list[Saved] = []
        state = None
        for one in reversed(self.saved):
            data = _read(one.path)
            if hashlib.sha256(data).hexdigest() == one.sha256:
                state = torch.load(io.BytesIO(data), map_location=device, weights_only=True)
                break
            damaged.append(one)
        if damaged and speak:
            where = f"goes on from the one before, of step {one.step}" if state is not None else "starts anew"
            names = " and ".join(str(bad.path) for bad in damaged)
            print(
                f"{self.stage}: {names}: damaged (its SHA-256 is not that in its name) and removed; {where}",
                file=sys.stderr,
                flush=True,
            )
            self._finished.unlink(missing_ok=True)  # it tells of the damaged one
            for bad in damaged:
                with suppress(OSError):
                    bad.path.unlink()
        return state

    def finish(self, models: Path, *, extendable: bool) -> None:
        """Record the models, a folder, and whether a longer training may continue from the last checkpoint."""
        for old in self.saved[:-1]:
            old.path.unlink(missing_ok=True)
        self.remember(Finished(content_hash({}, [models]), extendable))

    def remember(self, finished: Finished) -> None:
        """Write the record of a finished training."""
        write_text(self._finished, json.dumps(asdict(finished)), durable=True)

    @property
    def finished(self) -> Finished | None:
        """Record of the training whose last checkpoint this is; None if it has not finished, or the file is damaged."""
        return read_finished(self.folder)


def _read(path: Path) -> bytes:
    """Contents of a file; empty if it cannot be read, as where the disk has a bad sector."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def saved_in(folder: Path) -> list[Saved]:
    """The checkpoints in a folder, the newest last."""
    found = [(path, _NAME.fullmatch(path.name)) for path in folder.glob("*.pt")]
    saved = [Saved(path, int(m["number"]), int(m["step"]), m["sha256"]) for path, m in found if m]
    return sorted(saved, key=lambda one: one.number)


def read_finished(folder: Path) -> Finished | None:
    """Record of the finished training in a folder; None if there is none, or the file is damaged."""
    try:
        return Finished(**json.loads((folder / FINISHED).read_text()))
    except (FileNotFoundError, ValueError, TypeError):  # an unfinished training repeats its last steps at most
        return None


def size_of(folder: Path) -> int:
    """Bytes that the files of a folder take."""
    total = 0
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError):  # a training is saving there
            total += file.stat().st_size if file.is_file() else 0
    return total


def set_aside(root: Path, folder: Path, why: str) -> Path:
    """Move a folder of checkpoints to where no training looks for it, with a note of the reason; returns its place."""
    aside = root / "checkpoints" / ASIDE
    aside.mkdir(parents=True, exist_ok=True)
    now = datetime.now()
    target = aside / f"{folder.name}-{now:%Y%m%d-%H%M%S-%f}"  # a name that no other training will have
    folder.rename(target)
    write_text(target / WHY, why)
    return target
