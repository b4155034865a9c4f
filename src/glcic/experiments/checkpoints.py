"""List, remove and continue checkpoints, for `glcic checkpoints`."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout
from ruamel.yaml import YAML

from glcic import paths
from glcic.errors import UserError
from glcic.files import write_text
from glcic.params import load, plain
from glcic.report.formatting import markdown
from glcic.training.checkpoints import (
    ASIDE,
    CONTINUE,
    FINISHED,
    WHY,
    Checkpoints,
    checkpoint_key,
    code_and_inputs,
    read_finished,
    saved_in,
    set_aside,
    size_of,
)
from glcic.training.code import Version, version_of

ROOT = paths.STATE_DIR / "checkpoints"


@dataclass(frozen=True)
class Folder:
    """The checkpoints of one training.

    Attributes:
        path: their folder; its name is used in commands.
        stage: name of the stage.
        key: fingerprint of its parameters and inputs, abbreviated.
        aside: whether they were set aside.
    """

    path: Path
    stage: str
    key: str
    aside: bool


def print_checkpoints() -> None:
    """Print a table of all checkpoints: where each training stands, what it takes, and what becomes of it."""
    found = _all()
    if not found:
        print(f"{ROOT}: no checkpoints")
        return
    rows = []
    for folder in found:
        saved = saved_in(folder.path)
        steps = f"{saved[-1].step:,}" if saved else "–"
        when = _saved_at(saved[-1].path) if saved else "–"
        rows.append([folder.path.name, steps, f"{size_of(folder.path) / 1e6:,.0f}", when, _state(folder)])
    print(markdown(["name", "steps", "MB", "saved", "state"], rows))
    total = sum(size_of(folder.path) for folder in found)
    print(f"\n{total / 1e6:,.0f} MB in {ROOT}; `glcic checkpoints --remove NAME` (or `all`) frees it")


def _saved_at(path: Path) -> str:
    try:
        return f"{datetime.fromtimestamp(path.stat().st_mtime):%Y-%m-%d %H:%M}"
    except FileNotFoundError:  # a training has just saved a newer one
        return "now"


def remove(name: str) -> None:
    """Remove the checkpoints of a name, or `all`, but for those in use.

    Raises:
        UserError: there are none of this name, or a process trains there.
    """
    for folder in _all() if name == "all" else [_named(name)]:
        size = size_of(folder.path)
        try:
            with _free(folder):
                shutil.rmtree(folder.path)
        except UserError as error:
            if name != "all":
                raise
            print(f"{error}; kept")
            continue
        print(f"removed {folder.path.name} ({size / 1e6:,.0f} MB)")


def continue_from(name: str) -> None:
    """Let the next `dvc repro` go on from checkpoints, whatever code made them.

    Raises:
        UserError: there are none of this name, or a process trains in their place.
    """
    folder = _named(name)
    if not (saved := saved_in(folder.path)):
        raise UserError(f"{name}: there is no checkpoint in it; remove it with --remove")
    checkpoints = Checkpoints(paths.STATE_DIR, folder.stage, folder.key)
    with _free(Folder(checkpoints.folder, folder.stage, folder.key, aside=False)):
        if folder.aside:
            if saved_in(checkpoints.folder):
                other = set_aside(paths.STATE_DIR, checkpoints.folder, f"replaced by {name}")
                print(f"what was trained since is set aside as {other.name}")
            else:
                shutil.rmtree(checkpoints.folder, ignore_errors=True)
            folder.path.rename(checkpoints.folder)
        write_text(checkpoints.folder / CONTINUE, "", durable=True)  # of any code: an older order names one
        for note in (WHY, FINISHED):  # a finished training would be repeated, or removed when a later stage starts
            (checkpoints.folder / note).unlink(missing_ok=True)
    print(
        f"`dvc repro {folder.stage}` now goes on from step {saved[-1].step:,} under the present code (with --force, if "
        "DVC takes the stage for up to date); the models and the run will name all versions"
    )
    if folder.key != _present(folder.stage)[0]:
        print(f"note: its parameters or inputs are not the present ones of {folder.stage}; it waits until they are")
    elif (steps := getattr(load(paths.PARAMS), folder.stage).steps) < saved[-1].step:
        print(f"note: {folder.stage}.steps is {steps}; raise it first, or it is set aside again")


def _all() -> list[Folder]:
    """All folders of checkpoints: those that trainings look for, then those set aside."""
    found = [_folder(path, aside=False) for path in sorted(ROOT.glob("*-*")) if path.is_dir() and path.name != ASIDE]
    return found + [_folder(path, aside=True) for path in sorted((ROOT / ASIDE).glob("*-*-*")) if path.is_dir()]


def _folder(path: Path, aside: bool) -> Folder:
    stage, key = path.name.split("-")[:2]
    return Folder(path, stage, key, aside)


def _named(name: str) -> Folder:
    for folder in _all():
        if folder.path.name == name:
            return folder
    raise UserError(f"{name}: no checkpoints of this name; `glcic checkpoints` lists them")


@contextmanager
def _free(folder: Folder) -> Iterator[None]:
    """Hold the folder's lock.

    Raises:
        UserError: a process trains there.
    """
    try:
        with FileLock(folder.path.with_suffix(".lock"), timeout=0):
            yield
    except Timeout:
        raise UserError(f"{folder.path.name}: a process is training there; stop it first") from None


def _state(folder: Folder) -> str:
    if folder.aside:
        why = folder.path / WHY
        return f"set aside: {why.read_text() if why.exists() else 'unknown why'}"
    if not saved_in(folder.path):
        return "no checkpoint yet"
    if read_finished(folder.path) is not None:
        return "finished"
    key, code = _present(folder.stage)
    if key != folder.key:
        return "unfinished, with other parameters or inputs than now"
    checkpoints = Checkpoints(paths.STATE_DIR, folder.stage, folder.key)
    if code and (checkpoints.asked_to_continue(code) or not checkpoints.differing(code)):
        return "unfinished; `dvc repro` goes on from it"
    return "unfinished, by other code; `dvc repro` starts anew, unless --continue-from names it"


@cache
def _present(stage: str) -> tuple[str | None, Version | None]:
    """Key of a stage with the present parameters and inputs, abbreviated, and its code; None if they cannot be told."""
    try:
        params, definition = load(paths.PARAMS), YAML(typ="safe").load(paths.STAGES_FILE)["stages"][stage]
        code, inputs = code_and_inputs(definition["deps"])
        key = checkpoint_key(stage, {part: plain(params, part) for part in definition["params"]}, inputs)
    except (UserError, KeyError):
        return None, None
    return key[:16], version_of(code, None)
