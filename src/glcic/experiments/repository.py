"""Git and DVC: their commands, the commit that is checked out, finished experiments, their files and outputs."""

import io
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from glcic.errors import UserError
from glcic.files import atomic
from glcic.training.stop import StopRequest

# What may differ from the commit that experiments start from.
CHANGEABLE = ("params.yaml", "dvc.lock", "reports", "README.md")


def git(*arguments: str) -> str:
    process = subprocess.run(["git", *arguments], capture_output=True, text=True, encoding="utf-8")
    if process.returncode:
        raise UserError(f"`git {' '.join(arguments)}` failed: {process.stderr.strip()}")
    return process.stdout


def dvc(
    *arguments: str, stop: StopRequest, folder: Path | None = None, environment: Mapping[str, str] = os.environ
) -> None:
    """Run a DVC command to its end; what it prints is seen at once.

    Args:
        folder: where to run it, if not here.

    Raises:
        Stopped: somebody asked, and no process of the command is left.
        UserError: the command failed.
    """
    with started_dvc(*arguments, stop=stop, folder=folder, environment=environment):
        pass


@contextmanager
def started_dvc(
    *arguments: str, stop: StopRequest, folder: Path | None = None, environment: Mapping[str, str] = os.environ
) -> Iterator[subprocess.Popen[bytes]]:
    """The same, with something to do meanwhile: until that is done, the command is not interrupted.

    It runs in a session of its own, so that Ctrl-C reaches it only through us.
    """
    stop.check()
    process = subprocess.Popen(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=folder,
        env={**environment, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
        while process.poll() is None and not stop.reason:
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.2)
        if stop.reason:
            _signal_all(process, signal.SIGINT)  # DVC and its stage, as a terminal would
        process.wait()
    except BaseException:  # a second signal, say
        _signal_all(process, signal.SIGKILL)
        process.wait()
        raise
    stop.check()
    if process.returncode:
        raise UserError(f"`dvc {' '.join(arguments)}` failed; see the lines above")


def _signal_all(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def head_commit() -> str:
    """The commit that is checked out.

    Raises:
        UserError: there is none.
    """
    try:
        return git("rev-parse", "--verify", "--quiet", "HEAD^{commit}").strip()
    except UserError:
        raise UserError(
            "no git commit here, which experiments and `glcic verify` start from; run "
            "`git init && git add -A && git commit`"
        ) from None
    except FileNotFoundError:
        raise UserError("git: no such program; install git") from None


def uncommitted() -> list[str]:
    """Files that differ from the commit that is checked out, and source files that it lacks."""
    changed = git("diff", "--name-only", "--relative", "HEAD").splitlines()
    return changed + git("ls-files", "--others", "--exclude-standard", "src", "pipeline").splitlines()


def check_git(*changeable: Path) -> None:
    """Experiments start from a commit: it must be there, and hold everything but parameters and results.

    Args:
        changeable: more files that may differ.

    Raises:
        UserError: says what to commit.
    """
    head_commit()
    ignored = {*CHANGEABLE, *(Path(os.path.relpath(file)).as_posix() for file in changeable)}
    unfit = [path for path in uncommitted() if path not in ignored and path.split("/")[0] not in ignored]
    if unfit:
        more = f" and {len(unfit) - 5} more" if len(unfit) > 5 else ""
        raise UserError(
            f"not committed: {', '.join(unfit[:5])}{more}; commit or stash, since experiments start from it"
        )


def experiments() -> dict[str, str]:
    """Every finished DVC experiment, ref → commit; none outside a git repository. Its name is what the ref ends in."""
    try:
        listed = git("for-each-ref", "--format=%(refname) %(objectname)", "refs/exps")
    except (OSError, UserError):
        return {}
    refs = dict(line.split() for line in listed.splitlines())
    # refs/exps/12/34…/name, where 1234… is the commit it started from; DVC keeps other things beside them.
    return {ref: commit for ref, commit in refs.items() if len(ref.split("/")) == 5 and len(ref.split("/")[2]) == 2}


def take_files(commit: str, paths: Sequence[Path], folder: Path) -> None:
    """Write files and folders as git has them in a commit into `folder`; what it has not is passed over."""
    listed = git("ls-tree", "--name-only", commit, *(path.as_posix() for path in paths)).splitlines()
    if not listed:  # without names, git would archive everything
        return
    archive = subprocess.run(["git", "archive", commit, *listed], capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
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
            try:
                content = outputs.read_bytes(file)
            except OSError:
                continue
            with atomic(folder / file.lstrip("/")) as temporary:
                temporary.write_bytes(content)
