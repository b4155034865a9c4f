"""dvc.yaml says the truth about what every stage depends on."""

import ast
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from ruamel.yaml import YAML

from glcic import params as parameters
from glcic.params import Params, Section, Training
from support.dependencies import ROOT, closure

STAGES: dict[str, Any] = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
# Source files that can change no result; neither they nor what they alone import are dependencies.
NEUTRAL = {
    Path("src/glcic/params.py"),  # accepts or refuses values: those that DVC compares, since none is made up there
    Path("src/glcic/paths.py"),  # names the outputs that dvc.yaml names, and those DVC compares
    Path("src/glcic/training/finished.py"),  # removes checkpoints, without which the same weights come later
    Path("pipeline/_row.py"),  # this and the rest record results, like the section tracking
    *(path.relative_to(ROOT) for path in (ROOT / "src" / "glcic" / "tracking").glob("*.py")),
}
UNLISTED = {"runtime", "tracking"}  # every stage may use them without listing them


def accessed(stage: str) -> set[str]:
    """Sections that the stage's code reads from what it calls `params`, the library's included."""
    names: set[str] = set()
    for file in closure(Path(f"pipeline/{stage}.py"), apart=NEUTRAL):
        if file.name == "stage.py":
            continue
        for node in ast.walk(ast.parse((ROOT / file).read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "params":
                names.add(node.attr)
    return names & set(Params.model_fields)


def test_stages_are_in_order() -> None:
    order = "download crop pretrain_generator pretrain_discriminators train_joint evaluate report"
    assert list(STAGES) == order.split()


@pytest.mark.parametrize("stage", STAGES)
def test_sections_listed_are_those_used(stage: str) -> None:
    listed = {name.split(".")[0] for name in STAGES[stage]["params"]}
    assert accessed(stage) - UNLISTED == listed
    assert not listed & UNLISTED


@pytest.mark.parametrize("stage", STAGES)
def test_code_listed_is_the_import_closure(stage: str) -> None:
    listed = {Path(dep) for dep in STAGES[stage]["deps"] if dep.endswith(".py")}
    assert listed == closure(Path(f"pipeline/{stage}.py"), apart=NEUTRAL)


def test_templates_listed_are_those_that_are_there() -> None:
    folder = ROOT / "src/glcic/report/templates"
    files = {path.relative_to(ROOT).as_posix() for path in folder.iterdir() if path.is_file()}
    assert {dep for dep in STAGES["report"]["deps"] if dep.startswith("src/glcic/report/templates/")} == files


def sections(model: type[BaseModel]) -> set[type[BaseModel]]:
    """A model and all that its fields can hold, at any depth and in any union."""
    found, todo = {model}, [field.annotation for field in model.model_fields.values()]
    while todo:
        annotation = todo.pop()
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found |= sections(annotation)
        todo += get_args(annotation)
    return found


def test_no_parameter_has_a_default() -> None:
    """So that params.py can be neutral: whatever a stage is handed stands in params.yaml, where DVC compares it."""
    found = sections(Params)
    assert found == {model for model in vars(parameters).values() if is_section(model)} - {Section, Training}
    for model in found:
        assert all(field.is_required() for field in model.model_fields.values()), model


def is_section(model: Any) -> bool:
    return isinstance(model, type) and issubclass(model, Section)


@pytest.mark.parametrize("stage", STAGES)
def test_data_listed_are_earlier_outputs(stage: str) -> None:
    before = list(STAGES)[: list(STAGES).index(stage)]
    kinds = ("outs", "metrics", "plots")
    listed = [out for name in before for kind in kinds for out in STAGES[name].get(kind, [])]
    outs = {next(iter(out)) if isinstance(out, dict) else out for out in listed}
    data = {dep for dep in STAGES[stage]["deps"] if Path(dep).parts[0] not in ("pipeline", "src")}
    assert data <= outs
    assert data or stage == "download"


def test_one_word_means_one_thing() -> None:
    for stage in ("pretrain_generator", "pretrain_discriminators", "train_joint"):
        assert STAGES[stage]["cmd"] == f"exec python -m pipeline.{stage}"
        assert stage in Params.model_fields
        assert STAGES[stage]["outs"] == [f"models/{stage}"]
        plots = {path: options for plot in STAGES[stage]["plots"] for path, options in plot.items()}
        assert plots[f"reports/curves/{stage}.csv"]["cache"] is False


def test_licensed_data_is_never_pushed() -> None:
    assert STAGES["download"]["outs"] == [{"data/raw": {"push": False}}]
    assert STAGES["crop"]["outs"] == [{"data/faces": {"push": False}}]


def test_download_and_crop_need_neither_torch_nor_mlflow() -> None:
    for stage in ("download", "crop"):
        for file in closure(Path(f"pipeline/{stage}.py")):
            text = (ROOT / file).read_text()
            assert "import torch" not in text, file
            assert "mlflow" not in text, file
