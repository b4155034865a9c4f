"""The whole project as it comes from a ZIP, with an environment that is set up by `make` and lent its packages."""

import os
import shutil
import sysconfig
from pathlib import Path
from typing import Any

from support.project import ROOT, Project

NOT_IN_A_ZIP = (
    ".git",
    ".venv",
    ".glcic",
    ".*_cache",
    "__pycache__",
    "mlflow.db*",
    "mlartifacts",
    "models",
    "dvc_plots",
)
DATA_AND_CACHE = ("raw", "images", "cache", "tmp", "config.local")


def lent() -> dict[str, Any]:
    """Variables for commands in the folder; the way to the registry is open, should uv's cache have been emptied."""
    proxies = {name: os.environ.get(name, "") for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")}
    return {"PYTHONPATH": sysconfig.get_path("purelib"), "MAKEFLAGS": "", "MAKELEVEL": "0", **proxies}


def make(project: Project, *arguments: str) -> str:
    return project.run("make", *arguments, "REQUIREMENTS=one.lock", **lent())


def _left_out(folder: str, names: list[str]) -> set[str]:
    """What a ZIP does not have; src/glcic/images is no data."""
    patterns = (*NOT_IN_A_ZIP, *(DATA_AND_CACHE if Path(folder) in (ROOT / "data", ROOT / ".dvc") else ()))
    return shutil.ignore_patterns(*patterns)(folder, names)


def unpacked(folder: Path) -> Project:
    """This project as a ZIP of it would be, without .git; and a lock of one package."""
    shutil.copytree(ROOT, folder, ignore=_left_out)
    lock = (ROOT / "requirements.lock").read_text()
    (folder / "one.lock").write_text(next(line for line in lock.splitlines(True) if line.startswith("tqdm==")))
    return Project.existing(folder)
