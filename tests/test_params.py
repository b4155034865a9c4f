"""params.yaml: what is refused, and how it is said."""

from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, default_tree, merge
from ruamel.yaml import YAML

from glcic.errors import UserError
from glcic.params import handed, load, validate
from glcic.presets import apply_preset, preset_names

PRESETS = ROOT / "presets"


def test_defaults_are_valid() -> None:
    assert load(PRESETS / "default.yaml").preset == "default"


def test_every_parameter_has_a_comment() -> None:
    for line in (PRESETS / "default.yaml").read_text().splitlines():
        code, _, comment = line.partition("#")
        if ":" in code and not code.rstrip().endswith(":"):
            assert comment, line


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"train_joint": {"stepz": 3}}, ["train_joint.stepz", "no such parameter"]),
        ({"crop": {"size": 66}}, ["crop.size", "multiple of 4", "66"]),
        ({"pretrain_generator": {"batch": 0}}, ["pretrain_generator.batch", "greater than or equal to 1"]),
        ({"pretrain_generator": {"batch": "16"}}, ["pretrain_generator.batch", "integer", "'16'"]),
        ({"pretrain_generator": {"reconstruction": "l3"}}, ["pretrain_generator.reconstruction", "'l1'"]),
        ({"augmentation": {"flip": 1.5}}, ["augmentation.flip", "1.5"]),
        ({"networks": {"completion": {"width": float("nan")}}}, ["networks.completion.width", "nan"]),
        ({"pretrain_generator": {"optimiser": {"rho": 0.9}}}, ["pretrain_generator.optimiser.rho", "no such"]),
        ({"holes": {"sides": [32, 24]}}, ["holes", "smallest"]),
        ({"holes": {"sides": [24, 60]}}, ["holes.sides", "holes.border", "crop.size = 64"]),
        ({"holes": {"sides": [24, 33]}}, ["holes.sides", "local_window = 32"]),
        ({"networks": {"discriminator": {"local_window": 80}}}, ["local_window", "crop.size = 64"]),
        ({"crop": {"square": 48}}, ["crop.square", "enlarged"]),
        ({"train_joint": {"batch": 3000}}, ["train_joint.batch", "download.synthetic.train"]),
        ({"train_joint": {"batch": 1}}, ["train_joint.batch", "at least 2 images"]),
        ({"runtime": {"devices": 3}}, ["pretrain_generator.batch", "runtime.devices = 3"]),
        ({"download": {"celeba": {"partial": True}}}, ["download.celeba", "zip_md5"]),
        ({"download": {"images": {"ratios": [0.5, 0.2, 0.1]}}}, ["download.images", "sum to 1"]),
        ({"evaluate": {"mask_sets": ["center", "center"]}}, ["evaluate", "twice"]),
    ],
)
def test_bad_values_are_refused_by_name(change: dict[str, Any], named: list[str]) -> None:
    with pytest.raises(UserError) as refusal:
        validate(merge(default_tree(), change), Path("params.yaml"))
    message = str(refusal.value)
    assert "\n" not in message
    for part in ["params.yaml", *named]:
        assert part in message


def test_a_missing_parameter_is_named() -> None:
    tree = default_tree()
    del tree["crop"]["size"]
    with pytest.raises(UserError, match=r"crop\.size: is missing"):
        validate(tree, Path("params.yaml"))


@pytest.mark.parametrize("text", ["a: [1", "a: 1\na: 2", "- 1", ""])
def test_what_is_no_parameter_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"params\.yaml"):
        load(path)


def test_a_stage_is_handed_its_sections_only() -> None:
    params = handed(load(PRESETS / "default.yaml"), ["seed", "crop.size"])
    assert params.crop.size == 64
    assert params.runtime.threads
    with pytest.raises(AttributeError):
        _ = params.download
    with pytest.raises(AttributeError):
        _ = params.crop.square


@pytest.mark.parametrize("name", preset_names(PRESETS))
def test_presets_apply_and_keep_comments_and_runtime(tmp_path: Path, name: str) -> None:
    path = tmp_path / "params.yaml"
    yaml = YAML()
    before = yaml.load(PRESETS / "default.yaml")
    before["runtime"]["threads"] = 7
    before["seed"] = 5
    yaml.dump(before, path)
    changes = {dotted: after for dotted, _, after in apply_preset(name, PRESETS, path)}
    params = load(path)
    assert params.preset == name
    assert params.runtime.threads == 7  # belongs to the machine
    assert params.seed == changes["seed"] == 0  # belongs to the preset
    after, defaults = (
        {line.split("#", 1)[1] for line in file.read_text().splitlines() if "#" in line}
        for file in (path, PRESETS / "default.yaml")
    )
    assert after <= defaults
    assert all("Adam's" in comment for comment in defaults - after)  # gone with Adam's own parameters


def test_a_preset_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("untouched")
    with pytest.raises(UserError, match="celeba-small"):
        apply_preset("nonsense", PRESETS, path)
    assert path.read_text() == "untouched"


def test_a_misspelt_preset_changes_nothing(tmp_path: Path) -> None:
    for name in ("default.yaml", "celeba.yaml"):
        (tmp_path / name).write_text((PRESETS / name).read_text())
    (tmp_path / "bad.yaml").write_text("crop:\n  sise: 64\n")
    path = tmp_path / "params.yaml"
    with pytest.raises(UserError, match=r"bad\.yaml: crop\.sise"):
        apply_preset("bad", tmp_path, path)
    assert not path.exists()
