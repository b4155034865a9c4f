"""What a stage starts with: its parameters, its code and its inputs.

When a stage ends, DVC writes down the parameters and dependencies that are there at that moment, not those that the
stage has read. If somebody has edited them for the next run, results would be recorded under values that did not make
them. Therefore a stage notes what it starts with, records nothing else, and fails if that has changed at the end.
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from glcic import paths
from glcic.errors import UserError
from glcic.files import members, sha256_of
from glcic.params import differences, listed, read_yaml, refuse_models_of_others, some
from pipeline import CODE_AT_START

SMALL = 16 * 2**20  # bytes; of larger files, size and time of the last change stand for the content
ABSENT = "absent"
LOOKS, PAUSE = 3, 1.0  # how often, and how many seconds apart, what differs is looked at: an editor may be saving
OF_FIRST = "GLCIC_START"  # environment variable: what the first of several processes has started with


def stage_definition(stage: str) -> dict[str, Any]:
    """The stage's entry in dvc.yaml."""
    return YAML(typ="safe").load(paths.STAGES_FILE)["stages"][stage]


class Start:
    """What a stage starts with.

    Attributes:
        stage: name of the stage.
    """

    def __init__(self, stage: str) -> None:
        """Note the parameters and inputs that dvc.yaml lists for the stage; the code is noted already.

        Raises:
            UserError: params.yaml or an input is missing, code was edited while it was imported, or parameters of the
                stages before have been edited since those ran.
        """
        self.stage = stage
        self._definition = stage_definition(stage)
        tree = _tree()
        self._parameters = listed(tree, self._definition["params"])
        members(Path(dep) for dep in self._definition["deps"])  # all must be there
        self._files = {path: CODE_AT_START.get(path, found) for path, found in self._present().items()}
        self._told = ""
        self.check()
        self._agree()
        _refuse_edits_since(stage, tree)

    def changes(self) -> list[str]:
        """Describe what differs from the start: parameters with both values, files by name."""
        try:
            found = differences(self._parameters, listed(_tree(), self._definition["params"]))
        except UserError as error:  # half edited
            found = [str(error)]
        now = self._present()
        return found + [path for path in sorted({*self._files, *now}) if self._files.get(path) != now.get(path)]

    def lasting_changes(self) -> list[str]:
        """Describe what differs for some seconds: DVC rewrites params.yaml for a moment when it queues experiments."""
        for look in range(LOOKS):
            if look:
                time.sleep(PAUSE)
            if not (found := self.changes()):
                break
        return found

    def check(self) -> None:
        """Refuse to go on if something has changed.

        Raises:
            UserError: the message says what.
        """
        if found := self.lasting_changes():
            raise UserError(
                f"{self.stage}: changed while the stage ran: {some(found)}. The results are of what was there before, "
                "so nothing is recorded. Run `dvc repro` again: a training goes on from its checkpoint if the change "
                "is undone, and starts anew otherwise"
            )

    def warn(self) -> None:
        """Warn of changes, once of each, so that nobody waits for a long training that is going to fail."""
        said = some(self.lasting_changes())
        if said and said != self._told:
            print(
                f"warning: {self.stage}: changed while the stage runs: {said}; unless this is undone, the stage fails "
                "at its end, with its checkpoint saved",
                file=sys.stderr,
                flush=True,
            )
        self._told = said

    def _present(self) -> dict[str, str]:
        """What stands for the content of each file that the stage lists; a file that is just being saved is absent."""
        found: dict[str, str] = {}
        for dep in map(Path, self._definition["deps"]):
            with suppress(UserError, OSError):
                found |= {path.as_posix(): _content(path) for path in members([dep])}
        return found

    def _agree(self) -> None:
        """Refuse to be one of several processes that have not all started with the same.

        Raises:
            UserError: the first process started with something else.
        """
        text = json.dumps([self.stage, self._parameters, self._files], sort_keys=True)
        mine = hashlib.sha256(text.encode()).hexdigest()
        if os.environ.get("LOCAL_RANK", "0") == "0":
            os.environ[OF_FIRST] = mine  # the processes that Fabric starts inherit it
        elif os.environ.get(OF_FIRST, mine) != mine:
            raise UserError(
                f"{self.stage}: parameters, code or inputs were edited while its processes started; run it again"
            )


def _content(path: Path) -> str:
    """What stands for the content of a file."""
    try:
        stat = path.stat()
        return sha256_of(path) if stat.st_size <= SMALL else f"{stat.st_size} bytes, changed {stat.st_mtime_ns}"
    except FileNotFoundError:  # an editor is just saving it
        return ABSENT


def _tree() -> Mapping[str, Any]:
    """All of params.yaml as DVC reads it."""
    tree = read_yaml(paths.PARAMS, "run from the project's root, where params.yaml is")
    return tree if isinstance(tree, Mapping) else {}


def _refuse_edits_since(stage: str, tree: Mapping[str, Any]) -> None:
    """Refuse to start if an earlier stage ran with other parameters than the present ones.

    The MLflow run of the whole configuration would say the present ones. What the trainings have written down is always
    known; dvc.lock knows of the other stages, too, but is up to date only where DVC runs the stages.

    Raises:
        UserError: they differ.
    """
    earlier = paths.STAGES[: paths.STAGES.index(stage)]
    for name in earlier:
        refuse_models_of_others(paths.MODELS / name, tree)
    if "DVC_STAGE" not in os.environ or not paths.LOCK.exists():
        return
    lock = read_yaml(paths.LOCK, "run `dvc repro`") or {}
    for name in earlier:
        entry = (lock.get("stages") or {}).get(name) or {}
        recorded = (entry.get("params") or {}).get(paths.PARAMS.name) or {}
        if found := differences(recorded, listed(tree, recorded)):
            raise UserError(
                f"{paths.PARAMS}: edited since {name} ran: {some(found)}; run `dvc repro` again, which begins there"
            )
