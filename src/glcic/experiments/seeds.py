"""Repetition of the current configuration with several seeds, to measure the spread of its scores: `glcic seeds`."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from glcic import paths
from glcic.evaluation.definitions import ALL, MAIN_METRICS
from glcic.experiments.presets import commented_yaml, read_tree
from glcic.experiments.repository import check_git, git
from glcic.experiments.runs import PHASE_OF, Run, alone, run_of, train
from glcic.experiments.verify import (
    ALL_SETS,
    METHODS_FILES,
    METRICS_FILE,
    Numbers,
    methods_numbers,
    metrics_numbers,
    place,
)
from glcic.files import write_csv
from glcic.params import Params, load
from glcic.report.formatting import markdown

SEEDS = 3  # repetitions
TABLE = paths.REPORT.folder / "seeds.csv"
TABLE_COLUMNS = ("seed", "split", "mask_set", "method", "metric", "value")
# What the seed affects, by source of the images.
DECIDED = {
    "synthetic": "the synthetic faces and the training",
    "celeba": "the training",
    "image_folder": "the split and the training",
}


def repeat() -> None:
    """Train the repetitions that are not trained yet, and tabulate their scores.

    Writes reports/seeds.csv, and prints mean and standard deviation as Markdown.

    Raises:
        Stopped: a signal arrived; the same command resumes.
        UserError: params.yaml is invalid, something is not committed, or a training failed.
    """
    command = "glcic seeds"
    with alone(command) as stop:
        runs = repetitions(paths.PARAMS)
        check_git()
        commits = train({run.name: run for run in runs.values()}, stop, command)
        numbers = {seed: _reported(run, commits[run.name]) for seed, run in runs.items()}
        table = seeds_table(numbers)
        said = conditions(next(iter(runs.values())).params, runs)
        write_csv(TABLE, table)
        print(f"\n{means_and_deviations(table)}\n\nMean ± standard deviation over {said}.")
        print(f"wrote {TABLE}", flush=True)


def _reported(run: Run, commit: str) -> Numbers:
    """Numbers in the report of an experiment."""
    numbers: Numbers = {}
    for name in (METRICS_FILE, *METHODS_FILES):
        path = paths.REPORT.folder / name
        text, place = git("show", f"{commit}:./{path}"), f"{path} of experiment {run.name}"
        numbers |= metrics_numbers(text, place) if name == METRICS_FILE else methods_numbers(text, name, place)
    return numbers


def repetitions(params: Path) -> dict[int, Run]:
    """Make SEEDS runs of the parameters, by seed, starting with the seed in the file.

    Raises:
        UserError: the file is missing or invalid.
    """
    seed = load(params).seed
    tree = read_tree(commented_yaml(), params)
    runs = {}
    for repetition in range(seed, seed + SEEDS):
        tree["seed"] = repetition
        runs[repetition] = run_of(f"seed-{repetition}", tree, params)
    return runs


def conditions(params: Params, seeds: Iterable[int]) -> str:
    """Describe what was repeated and what the seed affects."""
    listed = ", ".join(map(str, seeds))
    affected = DECIDED[params.download.source]
    return f"seeds {listed} of preset {params.preset}; the seed determines {affected}, not the masks"


def seeds_table(numbers: Mapping[int, Numbers]) -> pd.DataFrame:
    """Table of all numbers of all seeds' reports, one per row, with the columns TABLE_COLUMNS."""
    rows = {(seed, *place(name)): value for seed, by_name in numbers.items() for name, value in by_name.items()}
    return pd.DataFrame([(*key, value) for key, value in rows.items()], columns=pd.Index(TABLE_COLUMNS))


def means_and_deviations(table: pd.DataFrame) -> str:
    """Mean ± sample standard deviation of the networks' test scores over the seeds, as Markdown."""
    test = table[(table["split"] == "test") & (table["mask_set"] != ALL_SETS)]
    lines = []
    for mask_set in test["mask_set"].unique():
        for method in PHASE_OF:
            own = test[(test["mask_set"] == mask_set) & (test["method"] == method)]
            if not own.empty:
                values = own.groupby("metric")["value"]
                means, deviations = values.mean(), values.std()
                cells = (_cell(means[name], deviations[name], ALL[name].digits) for name in MAIN_METRICS)
                lines.append([mask_set, method, *cells])
    return markdown(["mask set", "method", *(ALL[name].title for name in MAIN_METRICS)], lines)


def _cell(mean: float, deviation: float, digits: int) -> str:
    return "–" if pd.isna(mean) or pd.isna(deviation) else f"{mean:.{digits}f} ± {deviation:.{digits}f}"
