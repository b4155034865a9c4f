"""Rebuild a report in a clean clone and say number by number whether it is confirmed. `glcic verify` does so.

The code is that of the commit that is checked out; parameters and numbers are the report's as they stand here, so
that a number changed by hand is found. Nothing that DVC remembers here is used.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from ruamel.yaml import YAML

from glcic import paths
from glcic.errors import UserError
from glcic.experiments.repository import dvc, git, head_commit, uncommitted
from glcic.experiments.verify import (
    altered_files,
    compare,
    compare_files,
    confirmed,
    read_numbers,
    read_tolerances,
    summary,
    table,
)
from glcic.params import Params, load
from glcic.paths import ReportFolder
from glcic.training.stop import Stopped, StopRequest
from pipeline import stage as _stage

MIXING = ("DVC_", "MLFLOW_")  # of environment variables: they would lead the rebuild to files that are not its own


def main(
    report: Annotated[Path, typer.Argument(help="folder of the report, with its params.yaml if it has its own")] = (
        paths.REPORT.folder
    ),
) -> None:
    """Rebuild a report in a clean clone; exit status 1 if it says what the rebuild does not."""
    _stage.with_errors_explained(lambda: _main(report))


def _main(report: Path) -> None:
    with StopRequest() as stop:
        try:
            agreed = _verify(report, stop)
        except Stopped:
            print("stopped; the rebuild is removed, nothing was verified", file=sys.stderr, flush=True)
            raise typer.Exit(130) from None
    if not agreed:
        raise typer.Exit(1)


def _verify(report: Path, stop: StopRequest) -> bool:
    reported, tolerances = read_numbers(report), read_tolerances(report)
    source = _parameters_of(report)
    params = _here(source)
    commit = head_commit()
    print(f"rebuilding {report}, preset {params.preset}, with the code of commit {commit[:7]}")
    changed = uncommitted()
    if unverified := [path for path in changed if path.split("/")[0] in paths.CODE]:
        print(f"note: not committed and so not verified: {', '.join(unverified)}")
    if source == paths.PARAMS and str(source) in changed:
        print(f"note: {source} is not as committed; {report} is rebuilt with its parameters as they stand")
    if not (ReportFolder(report).tolerances).exists():
        print(f"note: {ReportFolder(report).tolerances}: no such file; only identical numbers count")
    sys.stdout.flush()
    folder = Path(tempfile.mkdtemp(prefix="glcic-verify-")).resolve()
    keep = False
    try:
        project = _clone(commit, folder)
        with (project / paths.PARAMS).open("w", encoding="utf-8") as file:
            YAML(typ="safe").dump(params.model_dump(mode="json"), file)
        dvc("repro", "--force", stop=stop, folder=project, environment=_environment())
        compared = compare(reported, read_numbers(project / paths.REPORT.folder), tolerances)
        files = compare_files(report, project / paths.REPORT.folder)
        altered = altered_files(files, compared)
        print("", *(f"{name}: {said}" for name, said in files.items()), "", table(compared), "", sep="\n")
        print(summary(report, compared, altered), flush=True)
        return confirmed(compared) and not altered
    except UserError as error:
        stop.check()  # Ctrl-C reaches git as well, and makes it fail
        keep = True
        raise UserError(f"the rebuild failed, and is kept in {folder} to be looked at and removed: {error}") from None
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _parameters_of(report: Path) -> Path:
    """The file with the report's parameters: its own, or, for the report that the stages write, the project's.

    Raises:
        UserError: there is none.
    """
    own = report / paths.PARAMS.name
    if own.exists():
        return own
    if report.resolve() != paths.REPORT.folder.resolve():
        raise UserError(f"{own}: no such file; put the parameters there that the report was made with")
    return paths.PARAMS


def _here(source: Path) -> Params:
    """Parameters of a file, with the runtime that is set here and no tracking.

    Raises:
        UserError: they are invalid.
    """
    here = load(paths.PARAMS)
    data = {name: str(Path(where).resolve()) for name in ("celeba", "images") if (where := getattr(here.runtime, name))}
    runtime, tracking = here.runtime.model_copy(update=data), here.tracking.model_copy(update={"enabled": False})
    return load(source).model_copy(update={"runtime": runtime, "tracking": tracking})


def _clone(commit: str, folder: Path) -> Path:
    """A clean copy of the commit, without reports, so that none of them can pass for rebuilt; returns the project."""
    prefix = git("rev-parse", "--show-prefix").strip()  # not empty where the project is a folder of a larger repository
    git("clone", "--quiet", "--no-checkout", git("rev-parse", "--show-toplevel").rstrip("\n"), str(folder))
    git("-C", str(folder), "checkout", "--quiet", "--detach", commit)
    project = folder / prefix
    shutil.rmtree(project / paths.REPORT.folder, ignore_errors=True)
    # Whatever DVC's global configuration says, outputs go to a cache of the clone's own.
    (project / ".dvc/config.local").write_text("[cache]\n    dir = cache\n", encoding="utf-8")
    return project


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(MIXING)}
    data = {name: str(Path(kept[name]).resolve()) for name in ("GLCIC_CELEBA", "GLCIC_IMAGES") if kept.get(name)}
    return kept | data  # relative to here, not to the clone


if __name__ == "__main__":
    typer.run(main)
