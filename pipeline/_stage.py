"""What every stage does first and last: parameters in, errors out, and the paths between stages."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from ruamel.yaml import YAML

from glcic.errors import UserError
from glcic.files import full_disk_explained
from glcic.params import Params, handed, load

PARENT = os.getppid()  # read first: when DVC dies, somebody else becomes our parent

PARAMS = Path("params.yaml")
RAW = Path("data/raw")
FACES = Path("data/faces")
MODELS = Path("models")
REPORTS = Path("reports")
# The weights that later stages start from or score.
PRETRAINED = MODELS / "pretrain_generator" / "completion_best.safetensors"
DISCRIMINATOR = MODELS / "pretrain_discriminators" / "discriminator_last.safetensors"
COMPLETION = MODELS / "train_joint" / "completion_last.safetensors"
CURVES = REPORTS / "curves"
SAMPLES = REPORTS / "samples"
FIGURES = REPORTS / "figures"
METRICS = REPORTS / "metrics.json"
METHODS = REPORTS / "methods.csv"
SCORES = REPORTS / "scores.csv"

# What decides a result beside data and parameters.
CODE = ("dvc.yaml", "pipeline", "src")

# What a run writes into the working tree beside its outputs; it does not make the code another one.
WRITTEN = ("params.yaml", "dvc.lock", "reports")

# `dvc exp run --temp` and `--queue` work in a copy; what outlives a run stays with the real project.
ROOT = Path(os.environ.get("DVC_ROOT", "."))
SCRATCH = ROOT / ".glcic"


def stage_definition(stage: str) -> dict[str, Any]:
    """The stage's entry in dvc.yaml."""
    return YAML(typ="safe").load(Path("dvc.yaml"))["stages"][stage]


def run(stage: str, main: Callable[[Params], None]) -> None:
    """Run a stage as a program, with the parameter sections that dvc.yaml lists for it.

    What a user can put right is one line on stderr and exit status 1, never a traceback.
    """

    def command() -> None:
        with_errors_explained(lambda: main(handed(load(PARAMS), stage_definition(stage)["params"])))

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
