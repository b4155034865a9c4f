"""Jackknife intervals: those of a mean are the textbook's, and those of a ratio contain the truth often enough."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from glcic.report.jackknife import differences, intervals, standard_error

LOOKS = ["swd", "seam", "gradient"]


def table(methods: dict[str, np.ndarray], images: int = 40) -> pd.DataFrame:
    """looks.csv of one mask set: by method, scores (1 + groups, 3), of all images first."""
    parts = []
    for method, values in methods.items():
        part = pd.DataFrame(values, columns=LOOKS)
        part.insert(0, "left_out", range(len(part)))
        part.insert(1, "images", images)
        parts.append(part.assign(mask_set="box", method=method))
    return pd.concat(parts, ignore_index=True)


def test_the_error_of_a_mean_is_the_textbooks() -> None:
    values = np.random.default_rng(0).normal(3, 2, (15, 2))
    without = (values.sum(axis=0) - values) / 14
    np.testing.assert_allclose(standard_error(without), stats.sem(values, axis=0), rtol=1e-12)
    assert np.isnan(standard_error(values[:1])).all()


def test_intervals_of_a_mean_are_students() -> None:
    values = np.random.default_rng(0).normal(3, 2, (15, 3))
    scores = np.concatenate([values.mean(axis=0)[None], (values.sum(axis=0) - values) / 14])
    found = intervals(table({"completion": scores}), 0.9)
    assert found["metric"].tolist() == LOOKS
    assert found["clusters"].tolist() == [15] * 3
    for k, row in enumerate(found.itertuples()):
        low, high = stats.ttest_1samp(values[:, k], 0).confidence_interval(0.9)
        assert (row.mean, row.low, row.high) == pytest.approx((values[:, k].mean(), low, high))


def test_differences_are_paired_and_of_the_scores_that_have_a_better_side() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 5, (13, 3))
    shared[0] = 0
    a, b = shared + np.array([10, 1, 1]), shared + np.array([14, 1, 1])  # whatever varies, varies in both
    few = pd.concat([table({"completion": a, "pretrained": b}), table({"telea": b}, images=20)])
    found = differences(few, "completion", 0.95)
    assert found["other"].tolist() == ["pretrained"]  # telea completed other images
    assert found["metric"].tolist() == ["swd"]
    assert found["difference"].item() == pytest.approx(-4)
    assert found["high"].item() - found["low"].item() == pytest.approx(0, abs=1e-9)


def test_without_several_people_there_is_no_interval() -> None:
    found = intervals(table({"completion": np.ones((1, 3))}), 0.95)
    assert found["mean"].tolist() == [1, 1, 1]
    assert found[["low", "high"]].isna().all(axis=None)


def test_intervals_of_a_ratio_contain_the_true_one_about_as_often_as_they_say() -> None:
    rng, groups, inside = np.random.default_rng(0), 22, 0
    for _ in range(1000):
        person = rng.gamma(4, 1, groups)
        own, real = person * rng.gamma(9, 1, groups), person * rng.gamma(9, 1, groups)  # the true ratio is 1
        ratio = np.concatenate([[own.sum() / real.sum()], (own.sum() - own) / (real.sum() - real)])
        found = intervals(table({"completion": np.repeat(ratio[:, None], 3, axis=1)}), 0.95).iloc[0]
        inside += found["low"] <= 1 <= found["high"]
    assert 0.93 <= inside / 1000 <= 0.97
