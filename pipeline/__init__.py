"""Stages of dvc.yaml, one script each: read the parameters, call the library, write the outputs."""

import hashlib
import sys
from pathlib import Path

# `dvc exp run --temp` and `--queue` run a copy of the project, which must import its own library.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import glcic  # noqa: F401  # before torch, whose threads it tells not to hold the cores

# SHA-256 of the source files before they are imported: importing torch takes seconds, in which somebody may edit them.
CODE_AT_START = {
    file.as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
    for folder in ("pipeline", "src")
    for file in sorted(Path(folder).rglob("[!.]*.py"))
}
