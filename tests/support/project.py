"""Tiny project in a temporary folder, and its parameters."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]

# S = 16, networks of a few channels, a few steps: a complete pipeline that runs in seconds.
TINY: dict[str, Any] = {
    "preset": "tiny",
    "runtime": {"num_threads": 1},
    "tracking": {"enabled": False},
    "download": {"synthetic": {"train": 12, "val": 4, "test": 4}},
    "crop": {"image_size": 16},
    "networks": {
        "generator": {"width_multiplier": 0.0625},
        "discriminator": {"width_multiplier": 0.03125, "local_window": 8, "global_layers": 3, "local_layers": 2},
    },
    "masks": {"size_range": [6, 8], "margin": 1},
    "validation": {"num_images": 4},
    "pretrain_generator": {"steps": 6, "batch_size": 4, "validate_every": 2, "checkpoint_every": 2},
    "pretrain_discriminators": {"steps": 6, "batch_size": 4, "validate_every": 2, "checkpoint_every": 2},
    "train_joint": {"steps": 6, "batch_size": 4, "validate_every": 2, "checkpoint_every": 2},
    "evaluate": {"mask_sets": ["center", "box"], "batch_size": 2, "figure_rows": 2},
}


# Metadata stored with the weights of a generator of width 0.0625.
ABOUT: dict[str, Any] = {
    "generator": {
        "name": "glcic",
        "width_multiplier": 0.0625,
        "norm": "batch",
        "activation": "relu",
        "convolution": "plain",
        "output_activation": "sigmoid",
    },
    "input": {"pixel_range": [0, 1], "fill": "mean", "mask_dilation": 0},
    "mean_pixel": [0.5, 0.5, 0.5],
    "image_size": 16,
    "step": 6,
}


def merge(tree: Any, overlay: Mapping[str, Any]) -> Any:
    """Set the leaves of `overlay` in `tree`, and return `tree`."""
    for key, value in overlay.items():
        if isinstance(value, Mapping) and isinstance(tree[key], Mapping):
            merge(tree[key], value)
        else:
            tree[key] = value
    return tree


def default_tree() -> Any:
    """The parameters of presets/default.yaml."""
    return YAML(typ="safe").load(ROOT / "presets" / "default.yaml")


class Project:
    """A copy of this project in a temporary folder, with its own git and DVC repository."""

    def __init__(self, folder: Path, overlay: Mapping[str, Any]) -> None:
        self.folder = folder
        for name in (
            ".dvc/config",
            ".dvc/plots",
            ".dvcignore",
            ".gitignore",
            "dvc.yaml",
            "pipeline",
            "presets",
            "src",
            "reports/.gitignore",
        ):
            source, target = ROOT / name, folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        self.set({})
        self.set(overlay)
        self.git("init", "-q", ".")
        self.git("add", "-A")
        self.git("-c", "user.name=test", "-c", "user.email=test@example.org", "commit", "-qm", "start")

    def set(self, overlay: Mapping[str, Any]) -> None:
        """Change parameters in params.yaml."""
        path = self.folder / "params.yaml"
        yaml = YAML(typ="safe")
        tree = yaml.load(path) if path.exists() else merge(default_tree(), TINY)
        yaml.dump(merge(tree, overlay), path)

    def copy(self, folder: Path) -> "Project":
        """Copy the whole project, with data, models, cache and checkpoints."""
        shutil.copytree(self.folder, folder)
        return self.at(folder)

    def at(self, folder: Path) -> "Project":
        """The copy or clone of this project in `folder`."""
        return Project.existing(folder)

    @classmethod
    def existing(cls, folder: Path) -> "Project":
        """The project that already exists in `folder`."""
        project = cls.__new__(cls)
        project.folder = folder
        return project

    @property
    def environment(self) -> dict[str, str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("GLCIC_", "DVC_", "MLFLOW_"))}
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        environment["SHELL"] = "/bin/sh"  # dash stays between DVC and the stage unless the command uses exec
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            environment[name] = "http://127.0.0.1:9"  # no test reaches the network
        return environment

    def git(self, *arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=self.folder, check=True, capture_output=True)

    def start(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        """Start a command in its own process group."""
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str, expect: int | None = 0, **environment: str) -> str:
        """Run a command to its end and return its output. `expect` is its exit status; None: any but 0."""
        process = self.start(*command, **environment)
        printed, _ = process.communicate(timeout=900)
        if expect is None:
            assert process.returncode != 0, printed
        else:
            assert process.returncode == expect, printed
        return printed

    def stage(self, name: str, *, expect: int | None = 0, **environment: str) -> str:
        """Run one stage as a plain program, without DVC."""
        return self.run(sys.executable, "-m", f"pipeline.{name}", expect=expect, **environment)

    def repro(self, *arguments: str, expect: int | None = 0, **environment: str) -> str:
        return self.run(sys.executable, "-m", "dvc", "repro", *arguments, expect=expect, **environment)

    def dvc(self, *arguments: str) -> str:
        return self.run(sys.executable, "-m", "dvc", *arguments)

    def bytes_of(self, *patterns: str) -> dict[str, bytes]:
        """Contents of all matching files, by relative path."""
        paths = sorted(path for pattern in patterns for path in self.folder.glob(pattern))
        assert paths, patterns
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in paths}
