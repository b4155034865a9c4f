"""Repetitions with several seeds: three real DVC experiments on tiny settings."""

from pathlib import Path

import pandas as pd
import pytest

from glcic.evaluation.definitions import HEADLINE_METRICS, LOOKS, METHODS, METRICS
from support.project import Project


@pytest.mark.long
def test_seeds_run_one_after_another_and_set_no_tolerance(tmp_path: Path) -> None:
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
    assert len(table) == 3 * (2 * len(METRICS | LOOKS) * (len(METHODS) + 1) + 2 * len(HEADLINE_METRICS))
    assert table["value"].notna().all()
    of_networks = table[(table["metric"] == "psnr") & (table["method"] == "completion")]
    assert (of_networks.groupby(["split", "mask_set"])["value"].nunique() == 3).all()
    assert not (reports / "tolerances.json").exists()
    made = project.bytes_of("reports/seeds.csv")
    printed = project.run(*command)
    assert ": training" not in printed
    assert project.bytes_of("reports/seeds.csv") == made
