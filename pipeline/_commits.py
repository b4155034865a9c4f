"""What DVC experiments left behind: their commits, the files in them, and the outputs in DVC's cache."""

import io
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path


def experiments() -> dict[str, str]:
    """Every finished DVC experiment, ref → commit; none outside a git repository. Its name is what the ref ends in."""
    command = ["git", "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return {}
    refs = dict(line.split() for line in listed.splitlines())
    # refs/exps/12/34…/name, where 1234… is the commit it started from; DVC keeps other things beside them.
    return {ref: commit for ref, commit in refs.items() if len(ref.split("/")) == 5 and len(ref.split("/")[2]) == 2}


def take_files(commit: str, paths: Sequence[Path], folder: Path) -> None:
    """Write files and folders as git has them in a commit into `folder`; what it has not is passed over."""
    names = [path.as_posix() for path in paths]
    listed = subprocess.run(
        ["git", "ls-tree", "--name-only", commit, *names], capture_output=True, text=True, check=True
    )
    archive = subprocess.run(
        ["git", "archive", commit, *listed.stdout.splitlines()], capture_output=True, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")


def take_outputs(commit: str, paths: Sequence[Path], folder: Path) -> None:
    """Write outputs of a commit from DVC's cache into `folder`; what is no longer there is passed over."""
    from dvc.api import DVCFileSystem  # takes seconds

    outputs = DVCFileSystem(rev=commit)
    for path in paths:
        try:
            files = outputs.find(path.as_posix())
        except OSError:
            continue
        for file in files:
            target = folder / file.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                target.write_bytes(outputs.read_bytes(file))
            except OSError:
                target.unlink(missing_ok=True)
