"""What the stages of a report ran on: reports/made_on.json, by which `glcic verify` knows what to demand.

Processors, thread counts and versions of PyTorch round differently, and training amplifies it. The file lies beside the
report in git and is no output of DVC, whose hashes must not depend on the machine. A stage that DVC takes from its
cache keeps the entry of who ran it, which counts as long as its result is there.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glcic.files import sha256_of, write_text
from glcic.params import Runtime
from glcic.paths import REPORT, TRAINING_STAGES, ReportFolder
from glcic.tracking.environment import processor, processor_model

STAGES = (*TRAINING_STAGES, "evaluate")  # whose results depend on rounding

FIELDS = {
    "processor": "processor",
    "instruction_set": "instruction set",
    "num_threads": "threads",
    "device": "device",
    "devices": "number of devices",
    "compile": "compilation",
    "deterministic": "deterministic algorithms",
    "torch": "PyTorch",
}  # of an entry, with their names in messages; the others say of what it is
RESULT = "sha256"  # in an entry: of the stage's result in the report
UNKNOWN = "unknown"

# Environment variables by which libraries use an older instruction set than the processor has.
LIMITS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR")

Machine = Mapping[str, Any]  # by FIELDS


def machine(device: str, runtime: Runtime) -> dict[str, Any]:
    """Describe what of a machine and its settings changes rounding.

    Args:
        device: name of the PyTorch device (`cpu`, `cuda:0`).
        runtime: where and how to compute.
    """
    import torch

    kind = torch.device(device).type
    limits = [f"{name}={os.environ[name]}" for name in LIMITS if os.environ.get(name)]
    return {
        "processor": f"{processor()}{processor_model()}",
        "instruction_set": ", ".join([torch.backends.cpu.get_cpu_capability(), *limits]),
        "num_threads": runtime.num_threads,
        "device": f"cuda: {torch.cuda.get_device_name(device)}" if kind == "cuda" else kind,
        "devices": runtime.devices,
        "compile": runtime.compile,
        "deterministic": runtime.deterministic or kind == "cpu",
        "torch": torch.__version__,
    }


def begin(stage: str, now: Machine, *, step: int = 0, steps: int = 0, checkpoints: Path | None = None) -> Machine:
    """Forget what a stage of the report ran on, since it runs again; in one process, the first of several.

    Args:
        stage: name of the stage.
        now: this machine.
        step: step at which a training starts or resumes.
        steps: its last step.
        checkpoints: folder of its checkpoints, where the machines of earlier steps are remembered.

    Returns:
        What the stage will have run on: of a training that went from machine to machine, all of them.
    """
    entries = _read(REPORT.made_on)
    if entries.pop(stage, None) is not None:
        _write(entries)
    if checkpoints is None:
        return now
    remembered = checkpoints / REPORT.made_on.name
    before = _read(remembered) if step else now
    ran_on = before if 0 < step == steps and before else _joined(before, now)
    write_text(remembered, json.dumps(ran_on, indent=2) + "\n")
    return ran_on


def record(stage: str, ran_on: Machine) -> None:
    """Write down what a stage ran on, when its results are written."""
    _write(_read(REPORT.made_on) | {stage: {**ran_on, RESULT: _result(REPORT, stage)}})


def differences(report: ReportFolder, here: Machine) -> list[str]:
    """Compare what a report was made on with this machine.

    Args:
        report: the report.
        here: this machine.

    Returns:
        What differs or is unknown, in words; empty if a rebuild here must give the same bytes.
    """
    entries = {stage: entry for stage, entry in _read(report.made_on).items() if isinstance(entry, dict)}
    known = [stage for stage in STAGES if stage in entries and entries[stage].get(RESULT) == _result(report, stage)]
    if missing := [stage for stage in STAGES if stage not in known]:
        return [f"{report.made_on} does not say what made the results of {', '.join(missing)}"]
    found = []
    for field, title in FIELDS.items():
        there = [entries[stage].get(field, UNKNOWN) for stage in STAGES]
        if others := list(dict.fromkeys(_said(value) for value in there if value != here[field])):
            found.append(f"{title} {' and '.join(others)} there, {_said(here[field])} here")
    return found


def _said(value: Any) -> str:
    return " and ".join(map(str, value)) if isinstance(value, list) else str(value)


def _joined(before: Machine, now: Machine) -> dict[str, Any]:
    """Unite two machines: of what differs, a list of all values."""
    joined = {}
    for field, value in now.items():
        was = before.get(field, UNKNOWN)
        values = list(dict.fromkeys([*(was if isinstance(was, list) else [was]), value]))
        joined[field] = values if len(values) > 1 else value
    return joined


def _result(report: ReportFolder, stage: str) -> str | None:
    """SHA-256 of a file of the report that only this result of the stage has: its curve, or the figure."""
    figures = (report.figure, report.kept_figure)
    for path in figures if stage == "evaluate" else (report.curve(stage),):
        if path.is_file():
            return sha256_of(path)
    return None


def _read(path: Path) -> dict[str, Any]:
    """Read a file of entries; empty if it is missing or damaged, since it is a record that nothing depends on."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return entries if isinstance(entries, dict) else {}


def _write(entries: Mapping[str, Any]) -> None:
    ordered = {stage: entries[stage] for stage in STAGES if stage in entries}
    write_text(REPORT.made_on, json.dumps(ordered, indent=2, ensure_ascii=False) + "\n")
