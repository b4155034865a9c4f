"""Repeat the present configuration with several seeds, to see how far chance moves its scores: `glcic seeds`."""

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
from glcic.experiments.verify import ABOUT, METRICS_FILE, Name, Numbers, methods_numbers, metrics_numbers
from glcic.files import write_csv, write_text
from glcic.params import Params, load
from glcic.report.words import markdown

SEEDS = 3  # repetitions
TABLE = paths.REPORT.folder / "seeds.csv"
TABLE_COLUMNS = ("seed", "split", "mask_set", "method", "metric", "value")
# What the seed decides, by where the images come from.
DECIDED = {
    "synthetic": "the synthetic faces and the training",
    "celeba": "the training",
    "images": "the split and the training",
}


def repeat() -> None:
    """Train the repetitions that are not trained yet.

    Writes reports/seeds.csv and reports/tolerances.json, and prints mean and deviation as Markdown.

    Raises:
        Stopped: somebody asked; the same command goes on.
        UserError: params.yaml or git is not in order, or a training failed.
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
    """What the report of an experiment says."""
    texts = {path: git("show", f"{commit}:./{path}") for path in (paths.REPORT.metrics, paths.REPORT.methods)}
    metrics, methods = (f"{path} of experiment {run.name}" for path in texts)
    return metrics_numbers(texts[paths.REPORT.metrics], metrics) | methods_numbers(texts[paths.REPORT.methods], methods)


def repetitions(params: Path) -> dict[int, Run]:
    """SEEDS runs of the parameters, by seed: the file's own, the next, and so on.

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
    """A sentence on what was repeated, and on what the seed decides."""
    listed = ", ".join(map(str, seeds))
    return (
        f"seeds {listed} of preset {params.preset}; the seed decides {DECIDED[params.download.source]}, not the holes"
    )


def seeds_table(numbers: Mapping[int, Numbers]) -> pd.DataFrame:
    """Every number of every seed's report, one a row, with the columns TABLE_COLUMNS.

    The test scores of `completion`, which stand in both of a report's files, are one row.
    """
    rows = {(seed, *_place(name)): value for seed, by_name in numbers.items() for name, value in by_name.items()}
    return pd.DataFrame([(*key, value) for key, value in rows.items()], columns=pd.Index(TABLE_COLUMNS))


def _place(name: Name) -> tuple[str, str, str, str]:
    """Split, mask set, method and metric of a number."""
    file, *keys = name
    if file == METRICS_FILE:  # of the method that the pipeline delivers
        split, mask_set, metric = keys
        return split, mask_set, "completion", metric
    mask_set, method, metric = keys
    return "test", mask_set, method, metric


def tolerances(numbers: Mapping[int, Numbers]) -> dict[Name, float]:
    """For every number the tolerance of its metric on its mask set, rounded up to two digits.

    That is the widest spread, largest less smallest value over the seeds, among the scores of the trained networks.
    Of a single number it would not do: three values lie close together by chance now and then.
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
    # First to what the reports are rounded to: 0.3 - 0.1 is 0.2, not a little more.
    return float(Context(prec=2, rounding=ROUND_CEILING).create_decimal(repr(round(spread, 6))))


def write_tolerances(found: Mapping[Name, float], said: str) -> str:
    """The text of a tolerances.json.

    Args:
        said: the conditions.
    """
    tree: dict[str, Any] = {
        ABOUT: "Of each metric and mask set, the widest spread (largest less smallest value) among the trained "
        f"networks' scores, rounded up to two digits, over {said}. Percentages of L1, dB of PSNR."
    }
    for name, value in found.items():
        branch = tree
        for key in name[:-1]:
            branch = branch.setdefault(key, {})
        branch[name[-1]] = value
    return json.dumps(tree, indent=2) + "\n"


def means_and_deviations(table: pd.DataFrame) -> str:
    """Mean ± standard deviation (of a sample) of the networks' test scores over the seeds, as Markdown."""
    test = table[table["split"] == "test"]
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
