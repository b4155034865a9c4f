"""dvc.yaml says the truth about what every stage depends on."""

import ast
from pathlib import Path
from typing import Any, get_args

import pytest
from pathspec import GitIgnoreSpec
from pydantic import BaseModel
from ruamel.yaml import YAML

from glcic import params as parameters
from glcic import paths
from glcic.params import MaskKind, Params, Section, Training
from support.dependencies import ROOT, closure, has_code

STAGES: dict[str, Any] = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
# Source files that can change no result; neither they nor what they alone import are dependencies.
NEUTRAL = {
    Path("pipeline/__init__.py"),  # finds the library
    Path("pipeline/start.py"),  # lets a stage fail, never end otherwise
    Path("src/glcic/__init__.py"),  # imports on demand what others import from it
    Path("src/glcic/data/changed.py"),  # stops a stage or lets it go on
    Path("src/glcic/errors.py"),  # messages
    Path("src/glcic/params.py"),  # accepts or refuses values: those that DVC compares, since none is made up there
    Path("src/glcic/paths.py"),  # names the outputs that dvc.yaml names, and those DVC compares
    Path("src/glcic/training/finished.py"),  # removes checkpoints, without which the same weights come later
    # These record results, like the section tracking.
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


def code_listed(stage: str) -> set[Path]:
    """Source files with code among a stage's dependencies and in the folders that it lists, as DVC sees them."""
    ignored = GitIgnoreSpec.from_lines((ROOT / ".dvcignore").read_text().splitlines())
    listed = [ROOT / dep for dep in STAGES[stage]["deps"] if dep.startswith(("src/", "pipeline/"))]
    assert all(path.exists() for path in listed)
    files = [file for path in listed for file in (path.rglob("*.py") if path.is_dir() else [path])]
    names = [file.relative_to(ROOT) for file in files]
    return {name for name in names if has_code(name) and not ignored.match_file(name.as_posix())}


@pytest.mark.parametrize("stage", STAGES)
def test_code_listed_is_the_import_closure(stage: str) -> None:
    """Every file that the stage imports lies within what is listed, and everything listed is imported."""
    assert code_listed(stage) == closure(Path(f"pipeline/{stage}.py"), apart=NEUTRAL)


def test_what_dvc_ignores_is_neutral() -> None:
    named = {Path(line[1:]) for line in (ROOT / ".dvcignore").read_text().splitlines() if line.startswith("/")}
    assert named <= NEUTRAL


def test_paths_and_dvc_yaml_name_the_same_outputs() -> None:
    """So that paths.py can be neutral: a path that changes there has to change in dvc.yaml, where DVC sees it."""
    report = paths.REPORT
    assert tuple(STAGES) == paths.STAGES
    by_stage = {
        "download": {paths.RAW},
        "crop": {paths.IMAGES},
        **{stage: {paths.MODELS / stage, report.curve(stage)} for stage in paths.TRAINING_STAGES},
        "evaluate": {
            report.scores,
            report.looks,
            report.masks,
            report.gallery,
            report.metrics,
            report.manifest,
            report.methods,
            report.validation,
        },
        "report": {paths.CARD, report.intervals, report.differences, report.slices, report.page},
    }
    for stage in ("pretrain_generator", "train_joint"):
        by_stage[stage].add(report.sample(stage))
    by_stage["evaluate"].add(report.figure)
    assert {stage: {Path(out) for out in outputs(stage)} for stage in STAGES} == by_stage
    for weights in (paths.PRETRAINED, paths.DISCRIMINATOR, paths.GENERATOR):
        assert any(weights.is_relative_to(paths.MODELS / stage) for stage in paths.TRAINING_STAGES)


def outputs(stage: str) -> set[str]:
    listed = [out for kind in ("outs", "metrics", "plots") for out in STAGES[stage].get(kind, [])]
    return {next(iter(out)) if isinstance(out, dict) else out for out in listed}


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
    bases = {Section, Training, MaskKind}
    assert found == {model for model in vars(parameters).values() if is_section(model)} - bases
    for model in found:
        made_up = {name for name, field in model.model_fields.items() if not field.is_required()}
        assert made_up <= {"weight"}, model  # of masks: None where there is one kind, and refused otherwise


def is_section(model: Any) -> bool:
    return isinstance(model, type) and issubclass(model, Section)


@pytest.mark.parametrize("stage", STAGES)
def test_data_listed_are_earlier_outputs(stage: str) -> None:
    before = list(STAGES)[: list(STAGES).index(stage)]
    outs = {out for name in before for out in outputs(name)}
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
    assert STAGES["download"]["outs"] == [{"data/raw": {"push": False, "persist": True}}]
    assert STAGES["crop"]["outs"] == [{"data/images": {"push": False}}]


def test_download_and_crop_need_neither_torch_nor_mlflow() -> None:
    for stage in ("download", "crop"):
        for file in closure(Path(f"pipeline/{stage}.py"), apart={Path("src/glcic/__init__.py")}):
            text = (ROOT / file).read_text()
            assert "import torch" not in text, file
            assert "mlflow" not in text, file
