"""Versions of the code that a training was made by, normally one.

A checkpoint is found by parameters and inputs. If the code has changed since, the training starts anew, or goes on if
the user asks for it (`glcic checkpoints --continue-from`); its models then say by which versions they were made.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from glcic.files import sha256_of


@dataclass(frozen=True)
class Version:
    """The code that trained from a step on.

    Attributes:
        from_step: number of steps that were done before.
        commit: the checked-out commit; None outside a git repository.
        dirty: whether the code differed from that commit.
        files: SHA-256 of every source file that the stage lists, by path.
    """

    from_step: int
    commit: str | None
    dirty: bool
    files: Mapping[str, str]

    @property
    def sha256(self) -> str:
        """SHA-256 over the paths and contents of all files."""
        return hashlib.sha256(json.dumps(dict(self.files), sort_keys=True).encode()).hexdigest()

    def plain(self) -> dict[str, Any]:
        """The version without the list of files, as plain data."""
        return {"from_step": self.from_step, "commit": self.commit, "dirty": self.dirty, "sha256": self.sha256}


UNKNOWN = Version(0, None, False, {})  # where the record is damaged


def version_of(files: Iterable[Path], git: Mapping[str, Any] | None, from_step: int = 0) -> Version:
    """Describe the code in the working tree.

    Args:
        files: source files, relative to the project.
        git: `commit` and `dirty`; None outside a git repository.
        from_step: number of steps that were done before.
    """
    hashes = {path.as_posix(): sha256_of(path) for path in sorted(files)}
    return Version(from_step, git["commit"] if git else None, bool(git and git["dirty"]), hashes)


def changed(before: Version, now: Version) -> list[str]:
    """Files that differ between two versions, sorted."""
    return sorted(path for path in {*before.files, *now.files} if before.files.get(path) != now.files.get(path))


def dumped(versions: Sequence[Version]) -> str:
    """Versions as JSON, for `parsed`."""
    return json.dumps([asdict(version) for version in versions], indent=2) + "\n"


def parsed(text: str) -> list[Version]:
    """Versions from the JSON of `dumped`; raises ValueError or TypeError if it is something else."""
    versions = [Version(**entry) for entry in json.loads(text)]
    if not all(isinstance(v.from_step, int) and isinstance(v.files, dict) for v in versions):
        raise ValueError("not versions of the code")
    return versions


def described(stage: str, entries: Sequence[Mapping[str, Any]]) -> str:
    """Say in a sentence which versions of the code trained a stage, from `code` in its params.json."""
    names = []
    for entry in entries:
        commit = "no commit" if entry["commit"] is None else f"commit {entry['commit'][:7]}"
        dirty = " with changes" if entry["dirty"] else ""
        known = f"{commit}{dirty} (code {entry['sha256'][:8]})"
        names.append(f"{'unknown code' if entry['sha256'] == UNKNOWN.sha256 else known} from step {entry['from_step']}")
    return f"{stage} was trained by {len(entries)} versions of the code: {', '.join(names)}"


def mixed(models: Path) -> dict[str, list[dict[str, Any]]]:
    """Stages whose models were trained by more than one version of the code, with `code` of their params.json.

    Args:
        models: folder with a folder of models for each stage.
    """
    found = {}
    for path in sorted(models.glob("*/params.json")):
        if entries := json.loads(path.read_text(encoding="utf-8")).get("code"):
            found[path.parent.name] = entries
    return found
