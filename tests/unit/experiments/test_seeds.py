"""Repetitions with several seeds: their parameters and their tables."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from glcic.experiments.seeds import (
    conditions,
    means_and_deviations,
    repetitions,
    seeds_table,
)
from glcic.experiments.verify import Numbers
from support.project import ROOT

MEAN = ("metrics.json", "val", "psnr")
VAL = ("validation.csv", "center", "completion", "psnr")
NETWORK = ("methods.csv", "center", "completion", "psnr")
FILL = ("methods.csv", "center", "mean_fill", "psnr")


@pytest.fixture
def numbers() -> dict[int, Numbers]:
    """Three seeds' reports; one has an undefined score."""
    return {
        4: {MEAN: 24.0, VAL: 25.0, NETWORK: 26.0, FILL: 19.0},
        5: {MEAN: 24.1, VAL: 25.3, NETWORK: 26.1234, FILL: None},
        6: {MEAN: 24.2, VAL: 25.1, NETWORK: 25.5, FILL: 19.5},
    }


def test_repetitions_differ_in_the_seed_alone(tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    params.write_text((ROOT / "presets/default.yaml").read_text().replace("\nseed: 0 ", "\nseed: 4 "))
    runs = repetitions(params)
    assert {seed: run.name for seed, run in runs.items()} == {4: "seed-4", 5: "seed-5", 6: "seed-6"}
    trees = [YAML(typ="safe").load(run.text) for run in runs.values()]
    assert [tree.pop("seed") for tree in trees] == [4, 5, 6]
    assert trees[0] == trees[1] == trees[2]
    assert "# of all randomness" in runs[5].text  # comments kept
    assert conditions(runs[4].params, runs) == (
        "seeds 4, 5, 6 of preset default; the seed determines the synthetic faces and the training, not the masks"
    )


def test_table_has_every_number_once(numbers: dict[int, Numbers]) -> None:
    table = seeds_table(numbers)
    assert table.columns.tolist() == ["seed", "split", "mask_set", "method", "metric", "value"]
    assert len(table) == 3 * 4
    assert not table.duplicated(["seed", "split", "mask_set", "method", "metric"]).any()
    assert table.iloc[0].tolist() == [4, "val", "all", "completion", "psnr", 24.0]  # the mean over the mask sets
    assert table.iloc[1].tolist() == [4, "val", "center", "completion", "psnr", 25.0]
    assert table.iloc[2].tolist() == [4, "test", "center", "completion", "psnr", 26.0]
    assert table["value"].isna().sum() == 1


def test_means_are_a_table_of_the_networks(numbers: dict[int, Numbers]) -> None:
    metrics = {metric: 1.0 for metric in ("l1_hole", "l1", "ssim")}
    for report in numbers.values():
        report.update({("methods.csv", "center", "completion", metric): value for metric, value in metrics.items()})
        report["metrics.json", "test", "psnr"] = 20.0  # a mean over the mask sets is no row of this table
    assert means_and_deviations(seeds_table(numbers)).splitlines()[2:] == [
        "| center   | completion | 1.00 ± 0.00 | 1.00 ± 0.00 | 25.87 ± 0.33 | 1.000 ± 0.000 |"
    ]
