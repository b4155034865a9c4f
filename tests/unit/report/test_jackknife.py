"""Jackknife intervals: those of a mean are the textbook's, and those of a ratio contain the truth often enough."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from glcic.evaluation import looks
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
    assert found["images"].dtype == np.int64  # as in the table that it joins
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


def test_intervals_of_swd_contain_the_one_expected_of_so_many_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that of infinitely many images, which is smaller."""
    monkeypatch.setattr(looks, "DIRECTIONS", 8)
    rng, people, tables = np.random.default_rng(0), 22, []
    groups = np.repeat(np.arange(people), 3) + 1
    for _ in range(120):
        person = rng.normal(0, 0.5, (people, 1, 1, 147)).repeat(3, axis=0)
        own, real = (
            looks.Features((person + rng.normal(0, scale, (66, 1, 4, 147))).astype(np.float32), ones, ones)
            for scale, ones in ((0.7, np.ones(66)), (1.0, np.ones(66)))
        )
        tables.append(looks.compare(own, real, groups).assign(mask_set="box", method="completion"))
    expected = np.mean([table["swd"].iloc[0] for table in tables])
    found = pd.concat([intervals(table, 0.95).iloc[:1] for table in tables])
    assert 0.88 <= ((found["low"] <= expected) & (expected <= found["high"])).mean() <= 0.99


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
