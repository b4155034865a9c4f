"""Git and DVC: commands, the checked-out commit, and finished experiments with their files and outputs."""

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

# Files and folders that may differ from the commit that experiments start from.
CHANGEABLE = ("params.yaml", "dvc.lock", "reports", "README.md", "docs")


def git(*arguments: str) -> str:
    """Run a git command and return its output.

    Raises:
        UserError: the command failed.
    """
    process = subprocess.run(["git", *arguments], capture_output=True, text=True, encoding="utf-8")
    if process.returncode:
        raise UserError(f"`git {' '.join(arguments)}` failed: {process.stderr.strip()}")
    return process.stdout


def dvc(
    *arguments: str, stop: StopRequest, folder: Path | None = None, environment: Mapping[str, str] = os.environ
) -> None:
    """Run a DVC command to its end, with its output on the terminal.

    Args:
        stop: request to stop the command.
        folder: where to run it; None: here.
        environment: its environment variables.

    Raises:
        Stopped: a signal arrived, and no process of the command is left.
        UserError: the command failed.
    """
    with started_dvc(*arguments, stop=stop, folder=folder, environment=environment):
        pass


@contextmanager
def started_dvc(
    *arguments: str, stop: StopRequest, folder: Path | None = None, environment: Mapping[str, str] = os.environ
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a DVC command like `dvc`, with a body that runs meanwhile. A stop request waits for the body to finish.

    The command runs in its own session, so that Ctrl-C reaches it only through this process.
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
            _signal_all(process, signal.SIGINT)  # both DVC and its stage, as a terminal does
        process.wait()
    except BaseException:  # such as a second signal
        _signal_all(process, signal.SIGKILL)
        process.wait()
        raise
    stop.check()
    if process.returncode:
        raise UserError(f"`dvc {' '.join(arguments)}` failed; see its output above")


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
            "no git commit here; experiments and `glcic verify` start from one; run "
            "`git init && git add -A && git commit`"
        ) from None
    except FileNotFoundError:
        raise UserError("git: command not found; install git") from None


def uncommitted() -> list[str]:
    """Files that differ from the checked-out commit, and source files that it lacks."""
    changed = git("diff", "--name-only", "--relative", "HEAD").splitlines()
    return changed + git("ls-files", "--others", "--exclude-standard", "src", "pipeline").splitlines()


def check_git(*changeable: Path) -> None:
    """Check that the commit from which experiments start holds everything but parameters, results and documentation.

    Args:
        changeable: additional files that may differ.

    Raises:
        UserError: there is no commit, or other files differ from it.
    """
    head_commit()
    ignored = {*CHANGEABLE, *(Path(os.path.relpath(file)).as_posix() for file in changeable)}
    changed = [path for path in uncommitted() if path not in ignored and path.split("/")[0] not in ignored]
    if changed:
        more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
        raise UserError(
            f"not committed: {', '.join(changed[:5])}{more}; commit or stash these files; experiments need a commit"
        )


def experiments() -> dict[str, str]:
    """Finished DVC experiments, ref → commit; empty outside a git repository. The ref ends in the experiment's name."""
    try:
        listed = git("for-each-ref", "--format=%(refname) %(objectname)", "refs/exps")
    except (OSError, UserError):
        return {}
    refs = dict(line.split() for line in listed.splitlines())
    # refs/exps/12/34…/name, where 1234… is the commit it started from; DVC keeps other refs there, too.
    return {ref: commit for ref, commit in refs.items() if len(ref.split("/")) == 5 and len(ref.split("/")[2]) == 2}


def take_files(commit: str, paths: Sequence[Path], folder: Path) -> None:
    """Write files and folders of a commit into `folder`; paths that the commit lacks are skipped."""
    listed = git("ls-tree", "--name-only", commit, *(path.as_posix() for path in paths)).splitlines()
    if not listed:  # without paths, git would archive everything
        return
    archive = subprocess.run(["git", "archive", commit, *listed], capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")


def take_outputs(commit: str, paths: Sequence[Path], folder: Path) -> None:
    """Write outputs of a commit from DVC's cache into `folder`; outputs no longer in the cache are skipped."""
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
