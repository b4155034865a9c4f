"""The scratch folder: checkpoints that survive an interruption, and the lock that keeps a second trainer out.

Checkpoints are no outputs: DVC deletes outputs before a rerun. They lie in a git-ignored folder, one per
fingerprint of everything that decides the result, so a changed parameter, input or source never resumes the
wrong training.
"""

import hashlib
import io
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from glcic.errors import UserError
from glcic.files import atomic

FINISHED = "finished"  # in the folder of a finished training: fingerprint of the models it ended in


def fingerprint(sections: Mapping[str, Any], files: Iterable[Path]) -> str:
    """SHA-256 (hex) over a stage's parameters and the content of its inputs and sources.

    Args:
        sections: plain data of the parameter sections the stage is handed.
        files: files or folders; their names as given count, so pass relative paths.
    """
    digest = hashlib.sha256(json.dumps(sections, sort_keys=True).encode())
    for path in sorted(files):
        if not path.exists():
            raise UserError(f"{path}: no such file; run `dvc repro`, which makes a stage's inputs first")
        members = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for member in members:
            digest.update(f"{member.as_posix()} {_digest(member)}\n".encode())
    return digest.hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


class Scratch:
    """The scratch folder of one stage under one fingerprint."""

    def __init__(self, root: Path, stage: str, fingerprint: str) -> None:
        self.stage = stage
        self.folder = root / "checkpoints" / f"{stage}-{fingerprint[:16]}"
        self.checkpoint = self.folder / "checkpoint.pt"
        self._finished = self.folder / FINISHED
        self._lock = self.folder.with_suffix(".lock")
        self._owner = self.folder.with_suffix(".owner")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder; wait, saying for whom, while another trainer has it."""
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._lock)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            owner = self._owner.read_text().strip() if self._owner.exists() else "another process"
            print(
                f"{self.stage}: {owner} is training this very stage; waiting for it",
                file=sys.stderr,
                flush=True,
            )
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
        self.folder.mkdir(parents=True, exist_ok=True)
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

    def finish(self, models: Path) -> None:
        """Remember which models, a folder, this training ended in."""
        self.folder.mkdir(parents=True, exist_ok=True)  # an experiment that shares the stage may have cleared it
        self._finished.write_text(fingerprint({}, [models]))

    @staticmethod
    def clear_finished(root: Path, stage: str, models: Path) -> None:
        """Remove the checkpoint of the training that ended in `models`: a later stage has started from them."""
        digest = fingerprint({}, [models])
        for finished in (root / "checkpoints").glob(f"{stage}-*/{FINISHED}"):
            with suppress(FileNotFoundError):  # another experiment clears it at the same time
                if finished.read_text() == digest:
                    shutil.rmtree(finished.parent, ignore_errors=True)
