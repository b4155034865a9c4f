"""Paths that the user gives."""

from pathlib import Path

import pytest

from glcic import paths


def test_a_relative_path_is_of_the_experiment_or_else_of_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, copy = tmp_path / "project", tmp_path / "project/.dvc/tmp/exps/standalone/tmp1"
    for folder in (project / "data/mine", project / "masks", copy / "masks", tmp_path / "elsewhere"):
        folder.mkdir(parents=True)
    monkeypatch.chdir(copy)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(paths, "ROOT", project)
    assert paths.given("data/mine") == project / "data/mine"
    assert paths.given("masks").resolve() == copy / "masks"
    assert paths.given(str(tmp_path / "elsewhere")) == paths.given("~/elsewhere") == tmp_path / "elsewhere"
    assert not paths.given("/no/such").exists()
    monkeypatch.setenv("GLCIC_IMAGES", "data/mine")
    assert paths.named("GLCIC_IMAGES", "masks") == project / "data/mine"
    monkeypatch.setenv("GLCIC_IMAGES", "")
    assert paths.named("GLCIC_IMAGES", "data/mine") == project / "data/mine"
    assert paths.named("GLCIC_IMAGES", None) is None
