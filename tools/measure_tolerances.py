"""What may a rebuild differ by? Rebuild the report with other threads and another instruction set, and take tolerances.

The report must have been made here, and be that of the commit. It is rebuilt in clean clones, as `glcic verify` does:
with one thread, with twice as many threads as now where there are as many cores, and with AVX2 where the processor has
AVX-512. Each rebuild takes as long as `make repro`. Their numbers are kept in .glcic/tolerances/, so that the same
command goes on after an interruption; tolerances.json is written at the end. Run it from the project's root, with all
code committed:

    python tools/measure_tolerances.py
"""

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from dvc.repo import Repo

from glcic import paths
from glcic.errors import UserError, explained
from glcic.experiments.repository import check_git, head_commit
from glcic.experiments.tolerances import tolerances, write_tolerances
from glcic.experiments.verify import Numbers, here, parameters_of, read_numbers, rebuilt
from glcic.files import write_text
from glcic.params import Params
from glcic.paths import ReportFolder
from glcic.tracking import made_on
from glcic.training.stop import Stopped, StopRequest

REPORT = paths.REPORT.folder
WORK = paths.STATE_DIR / "tolerances"
# ATen's own kernels, oneDNN's convolutions, and the matrix products of MKL and of NumPy's OpenBLAS, each by its own
# variable: on a processor with AVX-512, the second changes a convolution, and only the third a matrix product.
AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
}


@dataclass(frozen=True)
class Variation:
    """A rebuild that differs from the report in where it runs.

    Attributes:
        name: name of its file.
        said: what differs, in words.
        num_threads: threads of the training.
        environment: environment variables.
    """

    name: str
    said: str
    num_threads: int
    environment: Mapping[str, str]


def variations(num_threads: int, instruction_set: str) -> list[Variation]:
    """List the variations of a report that was made with so many threads and this instruction set of ATen."""
    cores = len(os.sched_getaffinity(0))
    counts = [count for count in (1, 2 * num_threads) if count != num_threads and count <= cores]
    words = {count: "1 thread" if count == 1 else f"{count} threads" for count in counts}
    found = [Variation(f"threads-{count}", words[count], count, {}) for count in counts]
    if instruction_set.startswith("AVX512"):
        said = f"AVX2 instead of {instruction_set} ({', '.join(f'{name}={value}' for name, value in AVX2.items())})"
        found.append(Variation("avx2", said, num_threads, AVX2))
    else:
        print(f"note: {instruction_set} is not AVX-512; the instruction set is not varied", file=sys.stderr)
    return found


def measure(params: Params, commit: str, variation: Variation, stop: StopRequest) -> Numbers:
    """Rebuild the report under a variation, or read what an earlier call has measured at this commit.

    Raises:
        UserError: the rebuild failed, or ran as the report did.
    """
    kept, of = WORK / f"{variation.name}.json", {"commit": commit, "params": params.model_dump(mode="json")}
    if kept.exists() and (before := json.loads(kept.read_text(encoding="utf-8")))["of"] == of:
        print(f"{variation.said}: already measured, {kept}", flush=True)
        return {tuple(name): value for name, value in before["numbers"]}
    started = time.monotonic()
    with rebuilt(params, commit, stop, **variation.environment) as made:
        numbers = read_numbers(made)
        ran_on: dict[str, Any] = json.loads(ReportFolder(made).made_on.read_text(encoding="utf-8"))
    if not made_on.differences(ReportFolder(REPORT), next(iter(ran_on.values()))):
        raise UserError(f"{variation.said}: had no effect: the rebuild ran as the report did; nothing was measured")
    write_text(kept, json.dumps({"of": of, "made_on": ran_on, "numbers": list(numbers.items())}, indent=2) + "\n")
    print(f"{variation.said}: rebuilt in {(time.monotonic() - started) / 60:.0f} minutes, {kept}", flush=True)
    return numbers


def main() -> None:
    """Rebuild, and write tolerances.json.

    Raises:
        UserError: the report was not made here, something is not committed, or a rebuild failed.
    """
    os.nice(10)
    check_git(Path("CHANGELOG.md"))
    with Repo() as repo:
        if stale := repo.status():
            raise UserError(f"{', '.join(stale)}: not up to date; run `dvc repro` first")
    commit, params = head_commit(), here(parameters_of(REPORT))
    machine = made_on.machine("cpu", params.runtime)
    if differing := made_on.differences(ReportFolder(REPORT), machine):
        raise UserError(f"{'; '.join(differing)}; make the report here first, with `dvc repro --force`")
    reported = read_numbers(REPORT)
    varied = variations(params.runtime.num_threads, torch.backends.cpu.get_cpu_capability())
    rebuilds = []
    with StopRequest() as stop:
        for number, variation in enumerate(varied, start=1):
            print(f"rebuild {number} of {len(varied)}: {variation.said}", flush=True)
            runtime = params.runtime.model_copy(update={"num_threads": variation.num_threads})
            rebuilds.append(measure(params.model_copy(update={"runtime": runtime}), commit, variation, stop))
    said = (
        f"with {', with '.join(variation.said for variation in varied)}; the report has {params.runtime.num_threads} "
        f"threads; preset {params.preset}, {machine['processor']}, PyTorch {machine['torch']}, commit {commit[:7]}"
    )
    found = tolerances(reported, rebuilds)
    write_text(paths.REPORT.tolerances, write_tolerances(found, said))
    print(f"wrote {paths.REPORT.tolerances}: {len(found)} of {len(reported)} numbers, {said}", flush=True)


if __name__ == "__main__":
    with explained():
        try:
            main()
        except Stopped:
            sys.exit("stopped; what was rebuilt before is kept, and the same command goes on")
