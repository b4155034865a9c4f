"""Repeat the present configuration with three seeds, to see how far chance moves its scores. `make seeds` does so.

Each repetition is a DVC experiment, seed-0 and so on; interrupted, the same command goes on where it was (_runs.py).
"""

import typer

from glcic import paths
from glcic.errors import explained
from glcic.experiments.compare import Run
from glcic.experiments.repository import check_git, git
from glcic.experiments.seeds import conditions, repetitions, scores, summary, tolerances, write_tolerances
from glcic.experiments.verify import Numbers, methods_numbers, metrics_numbers
from glcic.files import atomic
from pipeline._experiments import Stop
from pipeline._runs import alone, train

SEEDS_TABLE = paths.REPORT.folder / "seeds.csv"
REPORT_TOLERANCES = paths.REPORT.tolerances
COMMAND = "python -m pipeline.seeds"


def main() -> None:
    """Write reports/seeds.csv and reports/tolerances.json, and print mean and deviation as Markdown."""
    with explained():
        alone(_repeat, COMMAND)


def _repeat(stop: Stop) -> None:
    runs = repetitions(paths.PARAMS)
    check_git()
    done = train({run.name: run for run in runs.values()}, stop, COMMAND)
    numbers = {seed: _numbers(run, done[run.name]) for seed, run in runs.items()}
    table = scores(numbers)
    said = conditions(next(iter(runs.values())).params, runs)
    with atomic(SEEDS_TABLE) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    with atomic(REPORT_TOLERANCES) as temporary:
        temporary.write_text(write_tolerances(tolerances(numbers), said), encoding="utf-8")
    print(f"\n{summary(table)}\n\nMean ± standard deviation over {said}.")
    print(f"wrote {SEEDS_TABLE}, {REPORT_TOLERANCES}", flush=True)


def _numbers(run: Run, commit: str) -> Numbers:
    """What the report of an experiment says."""
    texts = {path: git("show", f"{commit}:./{path}") for path in (paths.REPORT.metrics, paths.REPORT.methods)}
    metrics, methods = (f"{path} of experiment {run.name}" for path in texts)
    return metrics_numbers(texts[paths.REPORT.metrics], metrics) | methods_numbers(texts[paths.REPORT.methods], methods)


if __name__ == "__main__":
    typer.run(main)
