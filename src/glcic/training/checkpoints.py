"""Checkpoints that survive an interruption, and the lock that keeps a second trainer out.

Checkpoints are not DVC outputs, because DVC deletes outputs before a rerun. They are in a git-ignored folder, one per
fingerprint of everything that determines the result, so a changed parameter, input or source never resumes the wrong
training. With a constant learning rate, no step depends on the number of steps; then `steps` is left out of the
fingerprint, and a longer training continues from the last checkpoint of a shorter one. `finished.py` decides how long
the checkpoint of a finished training is kept.
"""

import hashlib
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from pathspec import GitIgnoreSpec

from glcic.errors import UserError
from glcic.files import atomic, sha256_of, write_text

FINISHED = "finished.json"  # in the folder of a finished training, until one that continues it saves


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
    """SHA-256 (hexadecimal) of a stage's parameters and the content of its inputs and sources.

    Args:
        sections: plain data of the stage's parameter sections.
        files: files or folders, without files that DVC ignores; names are hashed as given, so pass relative paths.

    Raises:
        UserError: a file does not exist.
    """
    digest = hashlib.sha256(json.dumps(sections, sort_keys=True).encode())
    for path in sorted(files):
        if not path.exists():
            raise UserError(f"{path}: no such file; run `dvc repro`, which makes a stage's inputs first")
        for member in _members(path) if path.is_dir() else [path]:
            digest.update(f"{member.as_posix()} {sha256_of(member)}\n".encode())
    return digest.hexdigest()


def _members(folder: Path) -> list[Path]:
    """Files of a folder, sorted, without those in .dvcignore, whose changes DVC ignores as well."""
    ignore = Path(".dvcignore")
    ignored = GitIgnoreSpec.from_lines(ignore.read_text().splitlines() if ignore.exists() else [])
    return sorted(p for p in folder.rglob("*") if p.is_file() and not ignored.match_file(p.as_posix()))


def extendable(section: Mapping[str, Any]) -> bool:
    """Whether the steps of a training, whose section is given as plain data, do not depend on their number."""
    return section["lr_schedule"] == "constant" and section["steps"] > 0


def checkpoint_key(stage: str, sections: Mapping[str, Any], files: Iterable[Path]) -> str:
    """Content hash of a training stage; the number of steps is left out if it determines only where training ends."""
    own = sections[stage]
    if extendable(own):
        sections = {**sections, stage: {name: value for name, value in own.items() if name != "steps"}}
    return content_hash(sections, files)


class Checkpoints:
    """The checkpoints of one stage under one fingerprint.

    Attributes:
        stage: name of the stage.
        folder: holds the checkpoint and, after the end of the training, its record.
        checkpoint: the checkpoint file.
        lock_file: beside the folder; a process holds the lock while it trains there or removes the folder.
    """

    def __init__(self, root: Path, stage: str, fingerprint: str) -> None:
        self.stage = stage
        self.folder = root / "checkpoints" / f"{stage}-{fingerprint[:16]}"
        self.checkpoint = self.folder / "checkpoint.pt"
        self._finished = self.folder / FINISHED
        self.lock_file = self.folder.with_suffix(".lock")
        self._owner = self.folder.with_suffix(".owner")

    @staticmethod
    def all_finished(root: Path, stage: str) -> list["Checkpoints"]:
        """List a stage's finished trainings, the latest last."""
        found = []
        for mark in (root / "checkpoints").glob(f"{stage}-*/{FINISHED}"):
            with suppress(FileNotFoundError):  # another experiment has just removed it
                found.append((mark.stat().st_mtime_ns, mark.parent.name.removeprefix(f"{stage}-")))
        return [Checkpoints(root, stage, fingerprint) for _, fingerprint in sorted(found)]

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

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the last checkpoint atomically.

        Raises:
            UserError: the disk is full; the last checkpoint is kept.
        """
        self._finished.unlink(missing_ok=True)
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        with atomic(self.checkpoint) as temporary, temporary.open("wb") as file:
            file.write(buffer.getbuffer())
            file.flush()
            os.fsync(file.fileno())

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """Load the last checkpoint, or None if there is none.

        Raises:
            UserError: the checkpoint is damaged.
        """
        if not self.checkpoint.exists():
            return None
        try:
            return torch.load(self.checkpoint, map_location=device, weights_only=True)
        except (RuntimeError, EOFError, OSError) as error:
            raise UserError(f"{self.checkpoint} is damaged ({error}); delete it to start this stage anew") from None

    def finish(self, models: Path, *, extendable: bool) -> None:
        """Record the resulting models, a folder, and whether a longer training may continue from the checkpoint."""
        self.remember(Finished(content_hash({}, [models]), extendable))

    def remember(self, finished: Finished) -> None:
        """Write the record of a finished training."""
        write_text(self._finished, json.dumps(asdict(finished)))

    @property
    def finished(self) -> Finished | None:
        """Record of the training whose last checkpoint this is; None if it has not finished."""
        try:
            return Finished(**json.loads(self._finished.read_text()))
        except FileNotFoundError:
            return None
