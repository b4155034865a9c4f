"""The scratch folder: checkpoints that survive an interruption, and the lock that keeps a second trainer out.

Checkpoints are no outputs: DVC deletes outputs before a rerun. They lie in a git-ignored folder, one per
fingerprint of everything that decides the result, so a changed parameter, input or source never resumes the
wrong training. With a constant learning rate no step depends on how many there will be; then `steps` is left out
of the fingerprint, and a longer training goes on from the last checkpoint of a shorter one. How long the
checkpoint of a finished training stays is in `finished.py`.
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

FINISHED = "finished.json"  # in the folder of a finished training, until one that goes on from it saves


@dataclass(frozen=True)
class Finished:
    """What is remembered of a finished training.

    Attributes:
        models: fingerprint of the models it ended in.
        extendable: whether a longer training may go on from its checkpoint.
        settled: whether a later stage has started from its models.
    """

    models: str
    extendable: bool
    settled: bool = False


def content_hash(sections: Mapping[str, Any], files: Iterable[Path]) -> str:
    """SHA-256 (hex) over a stage's parameters and the content of its inputs and sources.

    Args:
        sections: plain data of the parameter sections the stage is handed.
        files: files or folders, of which DVC's own part counts; their names as given count, so pass relative paths.
    """
    digest = hashlib.sha256(json.dumps(sections, sort_keys=True).encode())
    for path in sorted(files):
        if not path.exists():
            raise UserError(f"{path}: no such file; run `dvc repro`, which makes a stage's inputs first")
        for member in _members(path) if path.is_dir() else [path]:
            digest.update(f"{member.as_posix()} {sha256_of(member)}\n".encode())
    return digest.hexdigest()


def _members(folder: Path) -> list[Path]:
    """The files of a folder, without those that .dvcignore names: DVC sees no change in these either."""
    ignore = Path(".dvcignore")
    ignored = GitIgnoreSpec.from_lines(ignore.read_text().splitlines() if ignore.exists() else [])
    return sorted(p for p in folder.rglob("*") if p.is_file() and not ignored.match_file(p.as_posix()))


def extendable(section: Mapping[str, Any]) -> bool:
    """Whether every step of a training, its section given as plain data, is the same however many follow it."""
    return section["schedule"] == "constant" and section["steps"] > 0


def checkpoint_key(stage: str, sections: Mapping[str, Any], files: Iterable[Path]) -> str:
    """`content_hash` of a training stage, without its number of steps where that decides nothing but the end."""
    own = sections[stage]
    if extendable(own):
        sections = {**sections, stage: {name: value for name, value in own.items() if name != "steps"}}
    return content_hash(sections, files)


class Scratch:
    """The scratch folder of one stage under one fingerprint.

    Attributes:
        folder: holds the checkpoint and, when the training has finished, what is remembered of it.
        lock_file: beside the folder; whoever trains or removes it holds the lock.
    """

    def __init__(self, root: Path, stage: str, fingerprint: str) -> None:
        self.stage = stage
        self.folder = root / "checkpoints" / f"{stage}-{fingerprint[:16]}"
        self.checkpoint = self.folder / "checkpoint.pt"
        self._finished = self.folder / FINISHED
        self.lock_file = self.folder.with_suffix(".lock")
        self._owner = self.folder.with_suffix(".owner")

    @staticmethod
    def all_finished(root: Path, stage: str) -> list["Scratch"]:
        """The folders of a stage's finished trainings, the one that finished last at the end."""
        found = []
        for mark in (root / "checkpoints").glob(f"{stage}-*/{FINISHED}"):
            with suppress(FileNotFoundError):  # another experiment removes it at the same time
                found.append((mark.stat().st_mtime_ns, mark.parent.name.removeprefix(f"{stage}-")))
        return [Scratch(root, stage, fingerprint) for _, fingerprint in sorted(found)]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder; wait, saying for whom, while another trainer has it."""
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
        """Write a checkpoint in place of the last one, whole or not at all.

        Raises:
            UserError: the disk is full; the last checkpoint stays.
        """
        self._finished.unlink(missing_ok=True)
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        with atomic(self.checkpoint) as temporary, temporary.open("wb") as file:
            file.write(buffer.getbuffer())
            file.flush()
            os.fsync(file.fileno())

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The last checkpoint, or None."""
        if not self.checkpoint.exists():
            return None
        try:
            return torch.load(self.checkpoint, map_location=device, weights_only=True)
        except (RuntimeError, EOFError, OSError) as error:
            raise UserError(f"{self.checkpoint} is damaged ({error}); delete it to start this stage anew") from None

    def finish(self, models: Path, *, extendable: bool) -> None:
        """Remember which models, a folder, this training ended in, and whether a longer one may go on from it."""
        self.remember(Finished(content_hash({}, [models]), extendable))

    def remember(self, finished: Finished) -> None:
        write_text(self._finished, json.dumps(asdict(finished)))

    @property
    def finished(self) -> Finished | None:
        """What is remembered of the training that the checkpoint is the end of; None: it has not finished."""
        try:
            return Finished(**json.loads(self._finished.read_text()))
        except FileNotFoundError:
            return None
