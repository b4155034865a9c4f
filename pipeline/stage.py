"""What every stage does first and last: parameters in, errors out, and the paths between stages."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from ruamel.yaml import YAML

from glcic import paths
from glcic.errors import UserError
from glcic.files import full_disk_explained
from glcic.params import Params, handed, load

PARENT = os.getppid()  # read first: when DVC dies, somebody else becomes our parent


def stage_definition(stage: str) -> dict[str, Any]:
    """The stage's entry in dvc.yaml."""
    return YAML(typ="safe").load(paths.STAGES_FILE)["stages"][stage]


def run(stage: str, main: Callable[[Params], None]) -> None:
    """Run a stage as a program, with the parameter sections that dvc.yaml lists for it.

    What a user can put right is one line on stderr and exit status 1, never a traceback.
    """

    def command() -> None:
        with_errors_explained(lambda: main(handed(load(paths.PARAMS), stage_definition(stage)["params"])))

    command.__doc__ = main.__doc__
    typer.run(command)


def with_errors_explained(work: Callable[[], None]) -> None:
    """Do `work`; a UserError or a full disk becomes one line and exit status 1."""
    try:
        with full_disk_explained(Path.cwd()):
            work()
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
        raise typer.Exit(1) from None
