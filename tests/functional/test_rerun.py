"""A stage reruns exactly when something that changes its result changed: the table, as DVC sees it."""

import re
import shutil
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from dvc.dependency import ParamsDependency
from dvc.repo import Repo
from dvc.utils.serialize import _yaml
from ruamel.yaml import YAML

from support.project import Project

G, D, J = "pretrain_generator", "pretrain_discriminators", "train_joint"
TRAINING = {G, D, J}

# What a changed parameter reruns of itself; what comes after reruns if it is handed other bytes. The longest prefix
# counts.
PARAMETERS: dict[str, set[str]] = {
    "preset": {"report"},
    "runtime": set(),
    "tracking": set(),
    "seed": {"download", *TRAINING, "report"},
    "download": {"download", "report"},
    "crop": {"crop", "report"},
    "crop.image_size": {"crop", *TRAINING, "report"},
    "input": {*TRAINING, "report"},
    "networks.generator": {*TRAINING, "report"},
    "networks.discriminator": {D, J, "report"},
    "masks": {*TRAINING, "report"},
    "augmentation": TRAINING,
    "gan": {D, J, "report"},
    "validation": TRAINING,
    G: {G, "report"},
    D: {D, "report"},
    J: {J, "report"},
    "evaluate": {"evaluate"},
    "evaluate.mask_seed": {"evaluate", "report"},
    "report": {"report"},
}

SOURCES: dict[str, set[str]] = {
    ".dvcignore": set(),
    "pipeline/__init__.py": set(),
    "pipeline/crop.py": {"crop"},
    "pipeline/training_stage.py": TRAINING,
    "presets/default.yaml": set(),
    "src/glcic/data/augmentation.py": TRAINING,
    "src/glcic/data/changed.py": set(),
    "src/glcic/data/crop.py": {"crop"},
    "src/glcic/data/packed.py": {"crop", *TRAINING, "evaluate"},
    "src/glcic/data/sources/celeba.py": {"download"},
    "src/glcic/data/sources/record.py": {"download"},
    "src/glcic/data/sources/synthetic.py": {"download"},
    "src/glcic/evaluation/definitions.py": {"evaluate", "report"},
    "src/glcic/evaluation/metrics.py": {"evaluate"},
    "src/glcic/experiments/presets.py": set(),
    "src/glcic/experiments/verify.py": set(),
    "src/glcic/inference/completer.py": {"evaluate"},
    "src/glcic/inference/nearest.py": {"evaluate"},
    "src/glcic/inference/photo.py": set(),
    "src/glcic/masks/sampling.py": {*TRAINING, "evaluate"},
    "src/glcic/networks/cost.py": set(),
    "src/glcic/networks/discriminators/__init__.py": {D, J},
    "src/glcic/networks/discriminators/global_local.py": {D, J},
    "src/glcic/networks/discriminators/patchgan.py": {D, J},
    "src/glcic/networks/generators/glcic.py": {*TRAINING, "evaluate"},
    "src/glcic/params.py": set(),
    "src/glcic/paths.py": set(),
    "src/glcic/phases/health.py": {J},
    "src/glcic/phases/pretrain_discriminators.py": {D, J},
    "src/glcic/phases/train_joint.py": {J},
    "src/glcic/renamed.py": {*TRAINING, "evaluate", "report"},
    "src/glcic/report/alarms.py": {"report"},
    "src/glcic/report/bootstrap.py": {"report"},
    "src/glcic/report/page.py": {"report"},
    "src/glcic/report/templates/page.css": {"report"},
    "src/glcic/tracking/alarm_tags.py": set(),
    "src/glcic/tracking/environment.py": set(),
    "src/glcic/tracking/recorder.py": set(),
    "src/glcic/tracking/stage_run.py": set(),
    "src/glcic/training/finished.py": set(),
    "src/glcic/training/loop.py": TRAINING,
    "src/glcic/training/losses.py": TRAINING,
}


@pytest.fixture(scope="module")
def mine(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A finished project, left as it is by each test of this file that changes it."""
    return finished.copy(tmp_path_factory.mktemp("rerun") / "project")


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Dotted names of all parameters; a list is one."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def row_of(parameter: str) -> str:
    """The row of PARAMETERS that a parameter belongs to."""
    return max((row for row in PARAMETERS if f"{parameter}.".startswith(f"{row}.")), key=len)


def test_what_a_changed_parameter_reruns(mine: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every parameter there is, one at a time."""
    monkeypatch.setattr(_yaml, "parse_yaml", cache(_yaml.parse_yaml))  # else DVC parses each file six times
    path, yaml = mine.folder / "params.yaml", YAML(typ="safe")
    before = path.read_text()
    original = yaml.load(before)
    parameters = list(leaves(original))
    with Repo(mine.folder) as repo:
        dependencies = {
            stage.name: dependency
            for stage in repo.index.stages
            for dependency in stage.deps
            if isinstance(dependency, ParamsDependency)
        }

        def changed() -> set[str]:
            return {stage for stage, dependency in dependencies.items() if dependency.status()}

        assert len(dependencies) == 7
        assert not changed()
        for parameter in parameters:
            *sections, name = parameter.split(".")
            tree = section = deepcopy(original)
            for part in sections:
                section = section[part]
            section[name] = "changed"  # DVC compares; what makes sense it leaves to the stage
            yaml.dump(tree, path)
            assert changed() == PARAMETERS[row_of(parameter)], parameter
        path.write_text(before)
    assert {row_of(parameter) for parameter in parameters} == PARAMETERS.keys()


def test_what_a_changed_source_reruns(mine: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mine.folder)  # or DVC would put a path before the stages' names
    for source, stages in SOURCES.items():
        path = Path(source)
        before = path.read_text()
        path.write_text(before + "# changed\n")
        with Repo() as repo:
            assert set(repo.status()) == stages, source
        path.write_text(before)


def ran(printed: str) -> list[str]:
    return re.findall("Running stage '(.*)'", printed)


@pytest.mark.long
@pytest.mark.parametrize(
    ("parameters", "source", "stages"),
    [
        ({"evaluate": {"figure_rows": 1}}, "src/glcic/data/crop.py", ["crop", "evaluate", "report"]),
        ({J: {"adv_weight": 0.25}}, None, [J, "evaluate", "report"]),
        ({}, "src/glcic/networks/discriminators/global_local.py", [D, J]),
    ],
    ids=["figure and a comment in crop", "adversarial weight", "comment in discriminator"],
)
def test_repro_runs_what_changed_and_what_is_handed_other_bytes(
    finished: Project, tmp_path: Path, parameters: dict[str, Any], source: str | None, stages: list[str]
) -> None:
    """A comment changes no output, so that nothing after it runs."""
    project = finished.copy(tmp_path / "project")
    project.set(parameters)
    if source is not None:
        path = project.folder / source
        path.write_text(path.read_text() + "# changed\n")
    assert ran(project.repro()) == stages


@pytest.mark.long
def test_more_steps_go_on_from_the_steps_that_are_done(finished: Project, tmp_path: Path) -> None:
    longer, whole = finished.copy(tmp_path / "longer"), finished.copy(tmp_path / "whole")
    shutil.rmtree(whole.folder / ".glcic")
    printed = {}
    for project in (longer, whole):
        project.set({J: {"steps": 9}})
        printed[project] = project.repro(J)
        assert ran(printed[project]) == [J]
    assert "train_joint: goes on from the finished training of 6 steps" in printed[longer]
    assert "steps 6–9" in printed[longer]
    assert "steps 0–9" in printed[whole]
    results = ("models/train_joint/*", "reports/curves/train_joint.csv", "reports/samples/train_joint.png")
    assert longer.bytes_of(*results) == whole.bytes_of(*results)
