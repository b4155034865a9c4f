"""Environment of a training run: code, packages and device. Recorded with the results, never part of them."""

import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any


def describe(device: str, code: Sequence[str]) -> dict[str, Any]:
    """Describe the environment as plain data, without host name or paths.

    Args:
        device: name of the PyTorch device (`cpu`, `cuda:0`).
        code: files and folders whose uncommitted changes mark the commit as dirty.
    """
    packages = {d.metadata["Name"]: d.version for d in distributions() if d.metadata["Name"]}
    return {
        "device": device_name(device),
        "git": git_state(Path(), code),
        "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def git_state(folder: Path, code: Sequence[str]) -> dict[str, Any] | None:
    """Commit, and whether the code differs from it; None outside a git repository.

    Args:
        folder: folder of the working tree.
        code: files and folders of the code, relative to `folder`.
    """
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        # Without locks, so that a simultaneous `git commit` by the user does not fail.
        changed = _git(folder, "--no-optional-locks", "status", "--porcelain", "--", *code)
    except (OSError, subprocess.CalledProcessError, UnicodeDecodeError):
        return None
    return {"commit": commit, "dirty": bool(changed)}


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True, encoding="utf-8"
    ).stdout.strip()


def device_name(device: str) -> str:
    """Name of a PyTorch device (`cpu`, `cuda:0`) with that of its processor."""
    if device.startswith("cuda"):
        import torch

        return f"{device}: {torch.cuda.get_device_name(device)}"
    return f"{device}: {processor()}"


def processor() -> str:
    """Name of the processor; on Linux, only /proc/cpuinfo has it."""
    return _of_processor("model name") or platform.processor() or platform.machine()


def processor_model() -> str:
    """Family and model of the processor, in words with a comma before; a virtual machine's name may not tell them."""
    numbers = {title: _of_processor(key) for title, key in (("family", "cpu family"), ("model", "model"))}
    return "".join(f", {title} {number}" for title, number in numbers.items() if number)


def _of_processor(key: str) -> str:
    """A value of /proc/cpuinfo, of the first processor; empty if there is none."""
    information = Path("/proc/cpuinfo")
    for line in information.read_text().splitlines() if information.exists() else []:
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""
