"""Repetition of the current configuration with several seeds, to measure the spread of its scores: `glcic seeds`."""

import json
from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING, Context
from pathlib import Path
from typing import Any

import pandas as pd

from glcic import paths
from glcic.evaluation.definitions import ALL, MAIN_METRICS
from glcic.experiments.presets import commented_yaml, read_tree
from glcic.experiments.repository import check_git, git
from glcic.experiments.runs import PHASE_OF, Run, alone, run_of, train
from glcic.experiments.verify import ABOUT, METHODS_FILES, METRICS_FILE, Name, Numbers, methods_numbers, metrics_numbers
from glcic.files import write_csv, write_text
from glcic.params import Params, load
from glcic.report.formatting import markdown

SEEDS = 3  # repetitions
ALL_SETS = "all"  # in place of a mask set: the mean over all mask sets
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

    Writes reports/seeds.csv and reports/tolerances.json, and prints mean and standard deviation as Markdown.

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
        write_text(paths.REPORT.tolerances, write_tolerances(tolerances(numbers), said))
        print(f"\n{means_and_deviations(table)}\n\nMean ± standard deviation over {said}.")
        print(f"wrote {TABLE}, {paths.REPORT.tolerances}", flush=True)


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
    rows = {(seed, *_place(name)): value for seed, by_name in numbers.items() for name, value in by_name.items()}
    return pd.DataFrame([(*key, value) for key, value in rows.items()], columns=pd.Index(TABLE_COLUMNS))


def _place(name: Name) -> tuple[str, str, str, str]:
    """Split, mask set, method and metric of a number."""
    file, *keys = name
    if file == METRICS_FILE:  # means over the mask sets, of the final method
        split, metric = keys
        return split, ALL_SETS, "completion", metric
    mask_set, method, metric = keys
    return "test" if file == paths.REPORT.methods.name else "val", mask_set, method, metric


def tolerances(numbers: Mapping[int, Numbers]) -> dict[Name, float]:
    """Tolerance of each number: that of its metric on its mask set, rounded up to two digits.

    The tolerance is the widest spread (largest minus smallest value over the seeds) among the scores of the trained
    networks. The spread of a single number is not enough, since three values may be close by chance.
    """
    places = {name: _place(name) for by_name in numbers.values() for name in by_name}
    widest: dict[tuple[str, str], float] = {}
    for name, (_, mask_set, method, metric) in places.items():
        values = [value for by_name in numbers.values() if (value := by_name.get(name)) is not None]
        if method in PHASE_OF and len(values) == len(numbers):
            spread = max(values) - min(values)
            widest[mask_set, metric] = max(widest.get((mask_set, metric), 0.0), spread)
    return {
        name: _rounded_up(widest[mask_set, metric])
        for name, (_, mask_set, _, metric) in places.items()
        if (mask_set, metric) in widest
    }


def _rounded_up(spread: float) -> float:
    # First round as in the reports, so that 0.3 - 0.1 is 0.2 and not slightly more.
    return float(Context(prec=2, rounding=ROUND_CEILING).create_decimal(repr(round(spread, 6))))


def write_tolerances(found: Mapping[Name, float], said: str) -> str:
    """Text of a tolerances.json file.

    Args:
        found: tolerances of the numbers.
        said: description of the conditions.
    """
    tree: dict[str, Any] = {
        ABOUT: "For each metric and mask set, the widest spread (largest minus smallest value) among the scores of "
        f"the trained networks, rounded up to two digits, over {said}. L1 is in percent, PSNR in dB."
    }
    for name, value in found.items():
        branch = tree
        for key in name[:-1]:
            branch = branch.setdefault(key, {})
        branch[name[-1]] = value
    return json.dumps(tree, indent=2) + "\n"


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
