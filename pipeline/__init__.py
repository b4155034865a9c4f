"""Stages of dvc.yaml, one script each: read the parameters, call the library, write the outputs."""

import sys
from pathlib import Path

# `dvc exp run --temp` and `--queue` run a copy of the project, which must import its own library.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import glcic  # noqa: F401  # before torch, whose threads it tells not to hold the cores
