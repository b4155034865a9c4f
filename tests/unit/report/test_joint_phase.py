"""Scores of whole mask sets in a report: in order beside the others, and before and after the joint phase."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from glcic.errors import UserError
from glcic.params import Params, validate
from glcic.report.report_data import read_report
from glcic.report.tables import differences, joint_phase, scores
from glcic.report.write import write_report
from support import fake_report
from support.project import default_tree, merge

METHODS, SETS, PEOPLE = ("completion", "pretrained", "telea"), ("center", "box"), 8
SWD = {"completion": 40.0, "pretrained": 80.0, "telea": 200.0}


@pytest.fixture
def params() -> Params:
    return validate(merge(default_tree(), {"report": {"bootstrap_samples": 100}}), Path("params.yaml"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A report with looks.csv: the joint phase has halved the SWD, and people differ a little."""
    folder = tmp_path / "reports"
    fake_report.write(folder, PEOPLE, 40, METHODS, SETS, size=16)
    rng, rows = np.random.default_rng(0), []
    for mask_set in SETS:
        for method in METHODS:
            for group in range(PEOPLE + 1):
                swd = SWD[method] + (rng.normal() if group else 0)
                rows.append([mask_set, method, group, 40 - 5 * (group > 0), round(swd, 6), 1.25, 0.5])
    looks = pd.DataFrame(rows, columns=["mask_set", "method", "left_out", "images", "swd", "seam", "gradient"])
    looks.to_csv(folder / "looks.csv", index=False)
    whole = looks[looks["left_out"] == 0].drop(columns=["left_out", "images"])
    pd.read_csv(folder / "methods.csv").merge(whole, on=["mask_set", "method"]).to_csv(
        folder / "methods.csv", index=False
    )
    return folder


def test_they_stand_beside_the_scores_of_images(folder: Path, params: Params) -> None:
    write_report(folder, params)
    table = pd.read_csv(folder / "intervals.csv")
    of_first = table[(table["mask_set"] == "center") & (table["method"] == "completion")]
    assert of_first["metric"].tolist()[-4:] == ["ssim_hole", "swd", "seam", "gradient"]
    keys = list(dict.fromkeys(zip(table["mask_set"], table["method"], strict=True)))
    assert keys == [(mask_set, method) for mask_set in SETS for method in METHODS]
    swd = of_first.set_index("metric").loc["swd"]
    assert swd["low"] < 40 == swd["mean"] < swd["high"]
    between = pd.read_csv(folder / "differences.csv")
    assert list(dict.fromkeys(between["mask_set"])) == list(SETS)
    row = between[(between["metric"] == "swd") & (between["other"] == "pretrained")].iloc[0]
    assert row["low"] < -40 == row["difference"] < row["high"] < 0


def test_the_joint_phase_is_a_table(folder: Path, params: Params) -> None:
    write_report(folder, params)
    report = read_report(folder, params)
    (center, _) = joint_phase(report)
    assert center.name == "center"
    assert [cell.value for cell in center.cells[1:]] == ["80.0 → 40.0", "1.25 → 1.25", "0.50 → 0.50"]
    assert center.cells[1].interval.startswith("−40.0")
    assert center.cells[1].note == "▲ better"
    page = (folder / "index.html").read_text()
    assert "80.0 → 40.0" in page
    assert "1 is best for seam" in page
    titles, rows = differences(report, "center")
    assert titles[-1] == "SWD × 1000"
    assert rows[0].cells[-1].value.startswith("−40.0")


def test_the_best_of_a_ratio_is_nearest_to_one(folder: Path, params: Params) -> None:
    methods = pd.read_csv(folder / "methods.csv")
    methods["seam"] = [1.25, 0.9, 0.3, 1.0, 1.1, 0.2]
    methods.to_csv(folder / "methods.csv", index=False)
    looks = pd.read_csv(folder / "looks.csv")
    looks.loc[looks["left_out"] == 0, "seam"] = methods["seam"].to_numpy()
    looks.to_csv(folder / "looks.csv", index=False)
    write_report(folder, params)
    report = read_report(folder, params)
    column = report.metrics.index("seam")
    best = {name: [row.name for row in scores(report, name) if row.cells[column].best] for name in SETS}
    assert best == {"center": ["pretrained"], "box": ["completion"]}


def test_without_a_method_before_it_there_is_no_table(folder: Path, params: Params) -> None:
    for name in ("methods.csv", "scores.csv", "looks.csv"):
        table = pd.read_csv(folder / name)
        table[table["method"] != "pretrained"].to_csv(folder / name, index=False)
    write_report(folder, params)
    assert joint_phase(read_report(folder, params)) == []
    assert "Before and after the joint phase" not in (folder / "index.html").read_text()


def test_those_that_are_not_of_the_evaluation_are_refused(folder: Path, params: Params) -> None:
    looks = pd.read_csv(folder / "looks.csv")
    looks["swd"] += (looks.index == 0).astype(float)
    looks.to_csv(folder / "looks.csv", index=False)
    with pytest.raises(UserError, match=r"looks\.csv: damaged: its swd of completion on center is 41\.0, but methods"):
        write_report(folder, params)
