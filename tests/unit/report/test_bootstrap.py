"""Bootstrap intervals: by hand, by simulation, and what is said of them."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from glcic.report import bootstrap as module
from glcic.report.bootstrap import Bootstrap, clusters_of, differences, in_words, intervals, totals
from tools.interval_coverage import coverage

FEW = Bootstrap(bootstrap_samples=2000, confidence_level=0.95, seed=0)


def table(identity: list[float | None], **methods: list[float]) -> pd.DataFrame:
    """Scores of one metric on one mask set."""
    rows = [
        {"mask_set": "center", "method": method, "row": row, "identity": person, "psnr": value}
        for method, values in methods.items()
        for row, (person, value) in enumerate(zip(identity, values, strict=True))
    ]
    return pd.DataFrame(rows)


def test_two_people_by_hand() -> None:
    """Person 7 has the scores 1 and 3, person 9 has 8. Of two draws with replacement a quarter is 7 and 7, whose mean
    is 2, half is both, (1 + 3 + 8) / 3 = 4, and a quarter 9 and 9, which is 8: mean 4.5, variance 4.75. Of two people,
    the variance is twice that, and t with one degree of freedom is 12.706 (0.7265 for 40 %), from tables."""
    scores = table([7, 7, 9], completion=[1, 3, 8])
    (row,) = intervals(scores, FEW).to_dict("records")
    assert [row.pop("low"), row.pop("high")] == pytest.approx([4 - 12.706 * 9.5**0.5, 4 + 12.706 * 9.5**0.5], rel=0.05)
    assert row == {
        "mask_set": "center",
        "method": "completion",
        "metric": "psnr",
        "mean": 4,
        "images": 3,
        "undefined": 0,
        "clusters": 2,
    }
    middle = intervals(scores, Bootstrap(2000, 0.4, 0))
    reach = 0.7265 * 9.5**0.5
    assert [middle["low"].item(), middle["high"].item()] == pytest.approx([4 - reach, 4 + reach], rel=0.05)
    means = np.concatenate(list(FEW._resampled(totals(scores[["psnr"]].to_numpy(), clusters_of(scores)))))
    shares = [np.mean(means == value) for value in (2, 4, 8)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.04)


def test_people_with_one_image_each_have_the_interval_of_students_t() -> None:
    values = np.random.default_rng(0).gamma(2, 3, 9)
    low, high = Bootstrap(20_000, 0.9, 0).interval(totals(values[:, None], np.arange(9)))
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert [low.item(), high.item()] == pytest.approx([expected.low, expected.high], rel=0.02)


def test_images_without_identity_stand_for_themselves() -> None:
    images = pd.DataFrame({"row": [4, 5, 6, 7], "identity": [2880.0, None, 2880.0, None]})
    assert clusters_of(images).tolist() == [0, 1, 0, 2]
    assert len(set(clusters_of(images.assign(identity=None)).tolist())) == 4


@pytest.mark.parametrize(
    ("people", "case", "percentiles", "least"),
    [
        (22, "symmetric", 0.935, 0.94),
        (22, "skewed", 0.93, 0.935),
        (22, "paired", 0.93, 0.94),
        (8, "symmetric", 0.90, 0.935),
        (8, "skewed", 0.89, 0.925),
        (8, "paired", 0.89, 0.935),
        (4, "symmetric", 0.83, 0.94),
    ],
)
def test_intervals_over_few_people_cover_and_percentiles_do_not(
    people: int, case: str, percentiles: float, least: float
) -> None:
    """2,000 simulated test sets, so that the standard error of a coverage is 0.5 points."""
    covered = coverage(case, people, simulations=2000, samples=500)
    assert least <= covered["t, bootstrap's error (reports)"] <= 0.965
    assert covered["percentile"] < percentiles


def test_images_of_a_person_do_not_count_as_people() -> None:
    """40 people with 10 images each, whose scores differ more among people than among images of one; truth 0."""
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(40), 10)
    values = rng.normal(0, 1, (40, 2000))[person] + rng.normal(0, 0.5, (400, 2000))
    low, high = Bootstrap(200, 0.95, 0).interval(totals(values, np.arange(400)))
    assert np.mean((low <= 0) & (high >= 0)) <= 0.65  # about 50
    low, high = Bootstrap(200, 0.95, 0).interval(totals(values, person))
    assert np.mean((low <= 0) & (high >= 0)) >= 0.93


def test_independent_images_have_the_textbook_interval() -> None:
    values = np.random.default_rng(0).normal(20, 3, 2000)
    low, high = FEW.interval(totals(values[:, None], np.arange(2000)))
    deviation = 1.96 * values.std() / np.sqrt(2000)
    assert [low.item(), high.item()] == pytest.approx([values.mean() - deviation, values.mean() + deviation], abs=0.02)


def test_same_seed_same_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=(300, 2))
    first = FEW.interval(totals(values, np.arange(300)))
    assert np.array_equal(first, FEW.interval(totals(values, np.arange(300))))
    monkeypatch.setattr(module, "DRAWN_AT_ONCE", 7 * 300)  # in parts, which rounds otherwise
    assert np.allclose(first, FEW.interval(totals(values, np.arange(300))), rtol=0, atol=1e-12)
    assert not np.array_equal(first, Bootstrap(2000, 0.95, 1).interval(totals(values, np.arange(300))))


def test_undefined_scores_are_counted_and_passed_over() -> None:
    scores = table([1, 2, 3, 4], completion=[10, np.inf, 20, np.nan], telea=[np.nan, np.nan, np.nan, 5])
    found = intervals(scores, FEW).set_index("method")
    assert found.loc[["completion"], ["mean", "images", "undefined", "clusters"]].iloc[0].tolist() == [15, 2, 2, 2]
    assert found.loc[["completion"], ["low", "high"]].iloc[0].tolist() == pytest.approx([15 - 63.5, 15 + 63.5], abs=5)
    assert found.loc[["telea"], ["mean", "images", "undefined", "clusters"]].iloc[0].tolist() == [5, 1, 3, 1]
    assert found.loc[["telea"], ["low", "high"]].iloc[0].isna().all()  # one person tells nothing of others
    nothing = intervals(table([1, 2], completion=[np.inf, np.inf]), FEW)
    assert nothing[["mean", "low", "high"]].isna().all(axis=None)
    assert nothing["undefined"].item() == 2


def test_differences_are_paired() -> None:
    """Both methods vary much from image to image, and always by the same from each other."""
    telea = np.random.default_rng(0).normal(20, 5, 50)
    scores = table(list(range(50)), completion=list(telea + 0.5), telea=list(telea), nearest=[np.inf, *telea[1:]])
    found = differences(scores, "completion", FEW).set_index("other")
    assert list(found.index) == ["telea", "nearest"]
    assert found.loc[["telea"], ["difference", "low", "high"]].iloc[0].tolist() == pytest.approx([0.5, 0.5, 0.5])
    assert found["images"].tolist() == [50, 49]
    alone = differences(scores[scores["method"] == "completion"], "completion", FEW)
    assert alone.empty
    assert list(alone.columns) == ["mask_set", "metric", "method", "other", "difference", "low", "high", "images"]


def test_a_method_that_was_scored_on_fewer_images() -> None:
    """Its mean, interval and difference are those of a table that has these images alone; of the others, as before."""
    rng = np.random.default_rng(0)
    people: list[float | None] = list(np.arange(30) // 2)
    values = {name: list(rng.normal(20, 3, 30)) for name in ("completion", "telea", "biharmonic", "nearest")}
    scores = table(people, **values)
    some = scores["row"].isin(range(0, 30, 3))
    fewer = scores[some | ~scores["method"].isin(["telea", "biharmonic"])]
    alone, whole = scores[some], scores[scores["method"].isin(["completion", "nearest"])]
    found = intervals(fewer, FEW).set_index("method")
    assert list(found.index) == list(values)
    expected = pd.concat([intervals(whole, FEW).set_index("method"), intervals(alone, FEW).set_index("method")])
    own = expected[~expected.index.duplicated()].loc[list(values)]
    pd.testing.assert_frame_equal(found, own)
    assert found["images"].tolist() == [30, 10, 10, 30]
    assert found["undefined"].tolist() == [0, 0, 0, 0]
    assert found["clusters"].tolist() == [15, 10, 10, 15]
    paired = differences(fewer, "completion", FEW).set_index("other")
    assert list(paired.index) == ["telea", "biharmonic", "nearest"]
    assert paired["images"].tolist() == [10, 10, 30]
    pd.testing.assert_frame_equal(paired[:2], differences(alone, "completion", FEW).set_index("other")[:2])
    pd.testing.assert_frame_equal(paired[2:], differences(whole, "completion", FEW).set_index("other"))
    reverse = differences(fewer, "telea", FEW).set_index("other")
    assert reverse["images"].tolist() == [10, 10, 10]
    assert reverse["difference"].iloc[0] == pytest.approx(-paired["difference"].iloc[0])


def test_both_infinite_is_no_difference() -> None:
    scores = table([1, 2, 3], completion=[np.inf, 10, 11], telea=[np.inf, 10, 11])
    row = differences(scores, "completion", FEW).iloc[0]
    assert row[["difference", "low", "high", "images"]].tolist() == [0, 0, 0, 2]


@pytest.mark.parametrize(
    ("low", "high", "higher", "said"),
    [
        (0.1, 0.3, True, "A beats B"),
        (0.1, 0.3, False, "B beats A"),
        (-0.3, -0.1, True, "B beats A"),
        (-0.3, -0.1, False, "A beats B"),
        (-0.1, 0.1, True, "A does not clearly differ from B"),
        (0.0, 0.0, False, "A does not clearly differ from B"),
        (np.nan, np.nan, True, "A and B cannot be compared"),
    ],
)
def test_who_beats_whom(low: float, high: float, higher: bool, said: str) -> None:
    assert in_words(low, high, higher, "A", "B") == said
