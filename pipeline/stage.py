"""Entry point of the stages: loads the parameters and reports errors."""

import os
from collections.abc import Callable
from functools import cache

import typer

from glcic import paths
from glcic.data.changed import check_sources
from glcic.errors import explained
from glcic.params import Params, handed, load
from pipeline.start import Start, stage_definition

PARENT = os.getppid()  # read at import: if DVC dies, the parent changes


@cache
def configuration() -> Params:
    """All of params.yaml, read once: the user may edit it for the next run while a stage runs."""
    return load(paths.PARAMS)


@cache
def start_of(stage: str) -> Start:
    """What the stage has started with, taken down by the first call."""
    return Start(stage)


def run(stage: str, main: Callable[[Params], None]) -> None:
    """Run a stage as a program, with the parameter sections that dvc.yaml lists for it.

    It fails if its parameters, code or inputs have changed meanwhile.
    """

    def command() -> None:
        with explained():
            start = start_of(stage)
            if stage != "download":  # which takes the images anew
                check_sources(configuration())
            main(handed(configuration(), stage_definition(stage)["params"]))
            if os.environ.get("LOCAL_RANK", "0") == "0":  # the first process of several
                start.check()

    command.__doc__ = main.__doc__
    typer.run(command)
