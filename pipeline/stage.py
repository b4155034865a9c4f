"""Entry point of the stages: loads the parameters and reports errors."""

import os
from collections.abc import Callable
from typing import Any

import typer
from ruamel.yaml import YAML

from glcic import paths
from glcic.data.changed import check_sources
from glcic.errors import explained
from glcic.params import Params, handed, load

PARENT = os.getppid()  # read at import: if DVC dies, the parent changes


def stage_definition(stage: str) -> dict[str, Any]:
    """The stage's entry in dvc.yaml."""
    return YAML(typ="safe").load(paths.STAGES_FILE)["stages"][stage]


def run(stage: str, main: Callable[[Params], None]) -> None:
    """Run a stage as a program, with the parameter sections that dvc.yaml lists for it."""

    def command() -> None:
        with explained():
            params = load(paths.PARAMS)
            if stage != "download":  # which takes the images anew
                check_sources(params)
            main(handed(params, stage_definition(stage)["params"]))

    command.__doc__ = main.__doc__
    typer.run(command)
