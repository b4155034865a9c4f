"""Writing of a report: statistics, page and model card."""

import math
from pathlib import Path

import numpy as np
import pandas as pd

from glcic.errors import UserError
from glcic.evaluation.definitions import LOOKS
from glcic.evaluation.tables import means, rounded
from glcic.files import write_csv
from glcic.params import Params
from glcic.paths import ReportFolder
from glcic.report import jackknife
from glcic.report.bootstrap import Bootstrap, differences, intervals
from glcic.report.card import write_card
from glcic.report.page import write_page
from glcic.report.report_data import METHOD, read_report, read_scored, read_table
from glcic.report.slices import shown_methods, slices


def write_report(
    folder: Path, params: Params, *, summary: Path | None = None, weights: Path | None = None, card: Path | None = None
) -> None:
    """Write intervals.csv, differences.csv, slices.csv and index.html into a report folder.

    If scores.csv does not exist (git does not track it), the three tables must exist and are not changed.

    Args:
        folder: the report folder, with the scores.
        params: parameters of the run.
        summary: data/images/summary.json, if it exists.
        weights: weights of the last phase, if they exist.
        card: where to write the model card; None writes none.

    Raises:
        UserError: a table is missing or broken.
    """
    if ReportFolder(folder).scores.is_file():
        section = params.report
        write_statistics(folder, Bootstrap(section.bootstrap_samples, section.confidence_level, params.seed))
    contents = read_report(folder, params, summary, weights)
    write_page(ReportFolder(folder).page, contents)
    if card is not None:
        write_card(card, contents)


def write_statistics(folder: Path, bootstrap: Bootstrap) -> None:
    """Write intervals.csv, differences.csv and slices.csv for the test split, rounded to 1e-6.

    Args:
        folder: the report folder, with scores.csv and masks.csv.
        bootstrap: settings of the intervals.

    Raises:
        UserError: one of these files is missing, or has no scores of the test split, or others than methods.csv.
    """
    files = ReportFolder(folder)
    scores, manifest = read_table(files.scores), read_table(files.manifest)
    test = scores[scores["split"] == "test"]
    if test.empty:
        raise UserError(f"{files.scores}: no scores of the test split; run `dvc repro`")
    _refuse_other_means(files, test)
    of_images, between = intervals(test, bootstrap), differences(test, METHOD, bootstrap)
    if set(LOOKS) & set(read_scored(folder).metrics):  # older reports have none
        looks, level = read_table(files.looks), bootstrap.confidence_level
        refuse_other_looks(files, looks)
        of_images = in_order([of_images, jackknife.intervals(looks, level)], of_images, ["mask_set", "method"])
        between = in_order([between, jackknife.differences(looks, METHOD, level)], between, ["mask_set"])
    write_csv(files.intervals, of_images.round(6))
    write_csv(files.differences, between.round(6))
    size = int(manifest["size"].iloc[0])
    write_csv(files.slices, slices(test, shown_methods(test), size, bootstrap).round(6))


def in_order(parts: list[pd.DataFrame], first: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Put tables together, with the rows of each key where the first table has them."""
    together = pd.concat([part for part in parts if len(part)], ignore_index=True)
    known = {key: k for k, key in enumerate(dict.fromkeys(first[keys].itertuples(index=False, name=None)))}
    ranks = [known.get(key, len(known)) for key in together[keys].itertuples(index=False, name=None)]
    return together.iloc[np.argsort(ranks, kind="stable")].reset_index(drop=True)


def refuse_other_looks(files: ReportFolder, looks: pd.DataFrame) -> None:
    """Compare the scores of whole mask sets, which DVC's cache may have damaged, with those in methods.csv.

    Raises:
        UserError: they differ.
    """
    reported = read_scored(files.folder).methods
    for row in looks[looks["left_out"] == 0].to_dict("records"):
        of_method = reported.get(row["mask_set"], {}).get(row["method"], {})
        for metric in LOOKS:
            if rounded(row[metric]) != of_method.get(metric):
                raise UserError(
                    f"{files.looks}: damaged: its {metric} of {row['method']} on {row['mask_set']} is {row[metric]}, "
                    f"but {files.methods.name} says {of_method.get(metric)}; score again with `dvc repro --force "
                    "--single-item evaluate`"
                )


def _refuse_other_means(files: ReportFolder, test: pd.DataFrame) -> None:
    """Compare the means of the scores, which DVC's cache may have damaged, with those that `evaluate` wrote down.

    Raises:
        UserError: they differ by more than rounding.
    """
    reported = read_scored(files.folder).methods
    for mask_set, methods in means(test).items():
        for method, scores in methods.items():
            of_images = reported.get(mask_set, {}).get(method, {})
            for metric, mean in scores.items():
                written = of_images.get(metric)
                same = mean == written if mean is None or written is None else math.isclose(mean, written, rel_tol=2e-5)
                if not same:
                    raise UserError(
                        f"{files.scores}: damaged: its mean {metric} of {method} on {mask_set} is {mean}, but "
                        f"{files.methods.name} says {written}; score again with `dvc repro --force --single-item "
                        "evaluate`"
                    )
