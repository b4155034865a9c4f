"""Repetitions with several seeds: three real DVC experiments on tiny settings."""

from pathlib import Path

import pandas as pd
import pytest

from glcic.evaluation.definitions import HEADLINE_METRICS, METHODS, METRICS
from glcic.experiments.verify import compare, confirmed, read_numbers, read_tolerances
from support.project import Project


@pytest.mark.long
def test_seeds_run_one_after_another_and_give_the_tolerances(tmp_path: Path) -> None:
    project = Project(tmp_path / "project", {})
    (project.folder / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
    for name, value in {"user.name": "test", "user.email": "test@example.org"}.items():
        project.git("config", name, value)
    project.git("add", "-A")
    project.git("commit", "-qm", "seeds")
    params = (project.folder / "params.yaml").read_bytes()
    command = ("glcic", "seeds")

    process = project.start(*command)
    printed, _ = process.communicate()  # on a busy machine longer than `run` waits
    assert process.returncode == 0, printed
    for seed in range(3):
        assert f"seed-{seed}: done" in printed
    assert "| center   | completion | " in printed
    assert "| box      | pretrained | " in printed
    assert (project.folder / "params.yaml").read_bytes() == params
    reports = project.folder / "reports"
    table = pd.read_csv(reports / "seeds.csv")
    # Seeds × mask sets; on test all methods, on val one; and the means over the mask sets, of two splits.
    assert len(table) == 3 * (2 * len(METRICS) * (len(METHODS) + 1) + 2 * len(HEADLINE_METRICS))
    assert table["value"].notna().all()
    of_networks = (table["metric"] == "psnr") & table["method"].isin(["completion", "pretrained"])
    values = table[of_networks & (table["mask_set"] == "box")].groupby(["split", "method"])["value"]
    exact = float((values.max() - values.min()).max())
    assert exact > 0
    psnr = read_tolerances(reports)["methods.csv", "box", "telea", "psnr"]
    assert exact <= psnr <= exact * 1.1 + 1e-9

    made = project.bytes_of("reports/seeds.csv", "reports/tolerances.json")
    printed = project.run(*command)
    assert ": training" not in printed
    assert project.bytes_of("reports/seeds.csv", "reports/tolerances.json") == made

    # Every number has its tolerance, within which the networks' scores of all seeds confirm each other.
    project.repro()
    numbers = read_numbers(reports)
    stated = read_tolerances(reports)
    assert set(stated) == set(numbers)
    rows = table[table["seed"] == 2].set_index(["split", "mask_set", "method", "metric"])["value"]
    splits = {"methods.csv": "test", "validation.csv": "val"}
    places = {
        n: (n[1], "all", "completion", n[2]) if n[0] == "metrics.json" else (splits[n[0]], *n[1:]) for n in numbers
    }
    other = {name: float(rows[place]) for name, place in places.items()}
    networks_alone = {name: value for name, value in numbers.items() if places[name][2] in ("completion", "pretrained")}
    assert confirmed(compare(networks_alone, {name: other[name] for name in networks_alone}, stated))
