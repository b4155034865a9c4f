"""tools/measure_tolerances.py with real rebuilds of a tiny project."""

import json
import sys
from pathlib import Path

import pytest

from glcic.experiments.verify import read_numbers, read_tolerances
from support.project import ROOT, Project

TOOL = (sys.executable, str(ROOT / "tools/measure_tolerances.py"))


@pytest.mark.long
def test_rebuilds_are_measured_once_and_confirm_the_report(finished: Project, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "project")
    for name, value in {"user.name": "test", "user.email": "test@example.org"}.items():
        project.git("config", name, value)
    project.git("add", "-A")
    project.git("commit", "-qm", "report")
    printed = project.run(*TOOL)
    assert "2 threads: rebuilt in" in printed
    assert "1 thread:" not in printed  # as the report has
    reports = project.folder / "reports"
    stated = read_tolerances(reports)
    assert stated.keys() == read_numbers(reports).keys()
    trained = {name: value for name, value in stated.items() if "completion" in name and "psnr" in name}
    assert any(value > 0 for value in trained.values())
    assert all(value < 0.5 for value in trained.values())
    assert all(value == 0 for name, value in stated.items() if "mean_fill" in name)
    about = json.loads((reports / "tolerances.json").read_text())["about"]
    assert "with 2 threads" in about
    (reports / "tolerances.json").unlink()
    printed = project.run(*TOOL)
    assert "Running stage" not in printed
    assert "2 threads: already measured" in printed
    assert read_tolerances(reports) == stated
