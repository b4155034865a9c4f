"""Tolerances: what rebuilds on other processors and with other threads differ by."""

import json
from pathlib import Path

from glcic.experiments.tolerances import tolerances, write_tolerances
from glcic.experiments.verify import Numbers, compare, confirmed, read_tolerances

MEAN = ("metrics.json", "val", "psnr")
VAL = ("validation.csv", "center", "completion", "psnr")
NETWORK = ("methods.csv", "center", "completion", "psnr")
BLENDED = ("methods.csv", "center", "blended", "psnr")
FILL = ("methods.csv", "center", "mean_fill", "psnr")
OTHER_SET = ("methods.csv", "box", "pretrained", "psnr")

REPORT: Numbers = {MEAN: 24.0, VAL: 25.0, NETWORK: 26.0, BLENDED: 26.1, FILL: 19.0, OTHER_SET: 28.0}
ONE_THREAD: Numbers = {MEAN: 24.1, VAL: 25.2, NETWORK: 25.8766, BLENDED: 26.1, FILL: 19.0, OTHER_SET: 28.3}
AVX2: Numbers = {MEAN: 23.9, VAL: 24.6834, NETWORK: 26.0, BLENDED: 26.0, FILL: 19.0, OTHER_SET: 28.0}


def test_tolerance_is_the_largest_difference_of_a_network_rounded_up(tmp_path: Path) -> None:
    found = tolerances(REPORT, [ONE_THREAD, AVX2])
    assert found == {MEAN: 0.1, VAL: 0.32, NETWORK: 0.32, BLENDED: 0.32, FILL: 0.0, OTHER_SET: 0.3}  # 25.0 - 24.6834
    (tmp_path / "tolerances.json").write_text(write_tolerances(found, "with 1 thread, with AVX2"))
    assert read_tolerances(tmp_path) == found
    assert "Rebuilds: with 1 thread, with AVX2." in json.loads((tmp_path / "tolerances.json").read_text())["about"]
    for rebuilt in (ONE_THREAD, AVX2):
        assert confirmed(compare(REPORT, rebuilt, found))
    assert not confirmed(compare(REPORT, {**ONE_THREAD, FILL: 19.001}, found))


def test_methods_that_train_nothing_have_their_own() -> None:
    found = tolerances(REPORT, [{**ONE_THREAD, FILL: 19.004}])
    assert found[FILL] == 0.004
    assert found[NETWORK] == 0.2


def test_undefined_scores_are_passed_over() -> None:
    assert tolerances({**REPORT, VAL: None}, [ONE_THREAD])[VAL] == 0.13  # of the test split
    assert FILL not in tolerances(REPORT, [{**ONE_THREAD, FILL: None}])
