"""Scores by kind of hole and image."""

import numpy as np
import pandas as pd
import pytest

from glcic.report.bootstrap import Bootstrap
from glcic.report.slices import kinds, pooled, shown_methods, slices

BOOTSTRAP = Bootstrap(bootstrap_samples=500, confidence_level=0.95, seed=0)


def images(**columns: list[float]) -> pd.DataFrame:
    n = len(next(iter(columns.values())))
    filled = {"row": list(range(n)), "area_ratio": [0.25] * n, "margin": [8] * n, "brightness": [0.5] * n}
    return pd.DataFrame(filled | columns)


def bins(found: dict[tuple[str, str], np.ndarray], name: str) -> dict[str, list[int]]:
    return {bin_: np.flatnonzero(which).tolist() for (slice_, bin_), which in found.items() if slice_ == name}


def test_edges_belong_to_the_lower_bin() -> None:
    found = kinds(images(area_ratio=[0.001, 0.01, 0.0101, 0.1, 0.25, 0.5, 0.6, 1.0]), 64)
    assert bins(found, "area_ratio") == {
        "0–1 %": [0, 1],
        "1–10 %": [2, 3],
        "20–30 %": [4],
        "40–50 %": [5],
        "50–60 %": [6],
        "60–100 %": [7],
    }


def test_distance_from_the_edge_is_in_shares_of_the_side() -> None:
    margin: list[float] = [0, 1, 10, 11, 20, 21, 40]
    found = bins(kinds(images(margin=margin), 100), "margin")
    assert found == {"touches": [0], "up to 10 %": [1, 2], "up to 20 %": [3, 4], "over 20 %": [5, 6]}
    assert bins(kinds(images(margin=margin), 50), "margin")["up to 20 %"] == [2]


def test_brightness_in_thirds_of_the_images() -> None:
    """However often an image is completed: the darkest one thrice here."""
    table = images(row=[0, 0, 0, 1, 2, 3, 4, 5], brightness=[0.1, 0.1, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert bins(kinds(table, 64), "brightness") == {"dark": [0, 1, 2, 3], "medium": [4, 5], "bright": [6, 7]}


def scores() -> pd.DataFrame:
    """Four mask sets, three images of three people, four methods."""
    parts = []
    for mask_set, area_ratio in (("box", 0.25), ("border", 0.5), ("strokes_20_30", 0.25), ("strokes_40_50", 0.5)):
        for method, offset in (("completion", 0.0), ("telea", 10.0), ("mean_fill", 20.0), ("pretrained", 1.0)):
            part = images(area_ratio=[area_ratio] * 3, margin=[0, 8, 8], brightness=[0.1, 0.5, 0.9])
            l1_hole = np.array([1.0, 2.0, 6.0]) + offset + (area_ratio == 0.5)
            parts.append(part.assign(mask_set=mask_set, method=method, identity=[1, 2, 3], l1_hole=l1_hole))
    return pd.concat(parts, ignore_index=True)


def test_the_networks_and_the_best_classical_method_are_shown() -> None:
    assert shown_methods(scores()) == ["completion", "pretrained", "telea"]
    assert shown_methods(scores().query("method == 'completion'")) == ["completion"]


def test_classical_methods_are_compared_on_the_images_that_all_have() -> None:
    """Telea is worse than mean fill on every image, but was scored on easy ones alone."""
    table = scores()
    telea, easy = table["method"] == "telea", table["row"] == 0
    table.loc[telea, "l1_hole"] += 11.0
    fewer = table[~telea | easy]
    means = fewer.groupby("method")["l1_hole"].mean()
    assert means["telea"] < means["mean_fill"]
    assert shown_methods(fewer) == ["completion", "pretrained", "mean_fill"]
    found = slices(fewer, ["completion", "telea"], 64, BOOTSTRAP)
    assert only(found, "box", "telea", "area_ratio", "20–30 %")["images"] == 1
    assert only(found, "box", "completion", "area_ratio", "20–30 %")["images"] == 3


def only(table: pd.DataFrame, *key: str) -> pd.Series:
    """The row of a mask set, method, slice and bin."""
    rows = table[(table[["mask_set", "method", "slice", "bin"]] == list(key)).all(axis=1)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_means_of_each_kind() -> None:
    table = slices(scores(), ["completion", "telea"], 64, BOOTSTRAP)
    assert list(table.columns) == ["mask_set", "method", "slice", "bin", "metric", "mean", "low", "high", "images"]
    assert list(table["mask_set"].unique()) == ["box", "border", "strokes_20_30", "strokes_40_50", "pooled"]
    assert only(table, "box", "completion", "area_ratio", "20–30 %")["mean"] == 3
    assert only(table, "box", "telea", "margin", "touches")["mean"] == 11


def test_pooled_are_mask_sets_that_differ_in_nothing_else() -> None:
    assert pooled("area_ratio", ["center", "box", "strokes_1_10"]) == ["strokes_1_10"]
    assert pooled("margin", ["center", "box", "border", "half"]) == ["box", "border"]
    assert pooled("brightness", ["center", "half"]) == ["center", "half"]
    table = slices(scores(), ["completion", "telea"], 64, BOOTSTRAP)
    assert only(table, "pooled", "completion", "area_ratio", "20–30 %")[["mean", "images"]].tolist() == [3, 3]
    assert only(table, "pooled", "completion", "area_ratio", "40–50 %")["mean"] == 4
    together = only(table, "pooled", "completion", "margin", "up to 20 %")
    assert together[["mean", "images"]].tolist() == [(2 + 6 + 3 + 7) / 4, 4]
    # The means of the two people are 2.5 and 6.5: standard error 2, and t is 12.706.
    assert together[["low", "high"]].tolist() == pytest.approx([4.5 - 25.4, 4.5 + 25.4], abs=4)


def test_one_person_has_no_interval() -> None:
    dark = only(slices(scores(), ["completion"], 64, BOOTSTRAP), "pooled", "completion", "brightness", "dark")
    assert dark[["mean", "images"]].tolist() == [1.5, 4]
    assert dark[["low", "high"]].isna().all()
