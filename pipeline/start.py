"""What a stage starts with: its parameters, its code and its inputs.

When a stage ends, DVC writes down the parameters and dependencies that are there at that moment, not those that the
stage has read. If somebody has edited them for the next run, results would be recorded under values that did not make
them. Therefore a stage takes down what it starts with, records nothing else, and fails if that has changed at the end.
"""

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from glcic import paths
from glcic.errors import UserError
from glcic.files import members, sha256_of
from glcic.params import leaves, read_yaml
from pipeline import CODE_AT_START

SMALL = 16 * 2**20  # bytes; of larger files, size and time of the last change stand for the content
ABSENT = "absent"
SHOWN = 5  # differences in a message


def stage_definition(stage: str) -> dict[str, Any]:
    """The stage's entry in dvc.yaml."""
    return YAML(typ="safe").load(paths.STAGES_FILE)["stages"][stage]


class Start:
    """What a stage starts with.

    Attributes:
        stage: name of the stage.
    """

    def __init__(self, stage: str) -> None:
        """Take down the parameters and inputs that dvc.yaml lists for the stage; the code is taken down already.

        Raises:
            UserError: params.yaml or an input is missing, code was edited while it was imported, or parameters of the
                stages before have been edited since those ran.
        """
        self.stage = stage
        self._definition = stage_definition(stage)
        tree = _tree()
        self._parameters = _listed(tree, self._definition["params"])
        self._files = {path: CODE_AT_START.get(path, found) for path, found in self._present().items()}
        self._told = ""
        self.check()
        if "DVC_STAGE" in os.environ:  # DVC keeps dvc.lock up to date for the stages before
            _refuse_edits_since(stage, tree)

    def changes(self) -> list[str]:
        """Describe what differs from the start: parameters with both values, files by name."""
        try:
            found = _differences(self._parameters, _listed(_tree(), self._definition["params"]))
        except UserError as error:  # half edited
            found = [str(error)]
        now = self._present()
        return found + [path for path in sorted({*self._files, *now}) if self._files.get(path) != now.get(path)]

    def check(self) -> None:
        """Refuse to go on if something has changed.

        Raises:
            UserError: the message says what.
        """
        if found := self.changes():
            raise UserError(
                f"{self.stage}: changed while the stage ran: {_some(found)}; DVC would record this, but the results "
                "are of what was there before, so the stage fails. Run the same command again: a training goes on from "
                "its checkpoint if it finds the parameters, inputs and code of before, and otherwise starts anew"
            )

    def warn(self) -> None:
        """Warn of changes, once of each, so that nobody waits for a long training that is going to fail."""
        said = _some(self.changes())
        if said and said != self._told:
            print(
                f"warning: {self.stage}: changed while the stage runs: {said}; unless this is undone, the stage fails "
                "at its end, with its checkpoint saved",
                file=sys.stderr,
                flush=True,
            )
        self._told = said

    def _present(self) -> dict[str, str]:
        return {path.as_posix(): _content(path) for path in members(Path(dep) for dep in self._definition["deps"])}


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


def _listed(tree: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The sections and parameters of these dotted names; missing ones are None."""
    found = {}
    for name in names:
        value: Any = tree
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        found[name] = value
    return found


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Dotted names and both values of the parameters that differ."""
    old, new = ({".".join(keys): value for keys, value in leaves(tree)} for tree in (before, now))
    missing = object()
    return [
        f"{name} ({old.get(name, 'absent')} → {new.get(name, 'absent')})"
        for name in dict.fromkeys([*old, *new])
        if old.get(name, missing) != new.get(name, missing)
    ]


def _some(found: list[str]) -> str:
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more


def _refuse_edits_since(stage: str, tree: Mapping[str, Any]) -> None:
    """Refuse to start if the parameters of a stage before this one are not those that DVC has recorded of it.

    The MLflow run of the whole configuration would say the present ones.

    Raises:
        UserError: they differ.
    """
    if not paths.LOCK.exists():
        return
    lock = YAML(typ="safe").load(paths.LOCK).get("stages", {})
    for earlier in paths.STAGES[: paths.STAGES.index(stage)]:
        recorded = lock.get(earlier, {}).get("params", {}).get(paths.PARAMS.name, {})
        now = _listed(tree, recorded)
        if found := _differences(recorded, now):
            raise UserError(
                f"{paths.PARAMS}: edited since {earlier} ran: {_some(found)}; run `dvc repro` again, which begins "
                f"with {earlier}"
            )
