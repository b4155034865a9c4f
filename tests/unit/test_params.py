"""params.yaml: what is refused, and how it is said."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from glcic.errors import UserError
from glcic.experiments.presets import apply_preset, preset_names
from glcic.params import handed, load, validate
from support.project import ROOT, default_tree, merge

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
        (
            {"pretrain_generator": {"reconstruction": {"error": "l3"}}},
            ["pretrain_generator.reconstruction.error", "'l1'"],
        ),
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
        ({"evaluate": {"mask_seed": -1}}, ["evaluate.mask_seed", "greater than or equal to 0"]),
    ],
)
def test_bad_values_are_refused_by_name(change: dict[str, Any], named: list[str]) -> None:
    with pytest.raises(UserError) as refusal:
        validate(merge(default_tree(), change), Path("params.yaml"))
    message = str(refusal.value)
    assert "\n" not in message
    for part in ["params.yaml", *named]:
        assert part in message


UNET, CENTER = {"name": "unet_attention", "channels": 32}, {"name": "center", "side": 40}
SMALL = {  # images for which the discriminator's five convolutions are one too many
    "crop.size": 32,
    "holes.sides": [12, 16],
    "networks.discriminator.local_window": 16,
    "train_joint.precision": "bf16-mixed",
}
PATCHGAN = {"name": "patchgan", "channels": 32, "spectral_norm": False, "mask_channel": False}


def changed(changes: dict[str, Any]) -> Any:
    """The defaults with values, or whole sections, put in by their dotted names."""
    tree = default_tree()
    for dotted, value in changes.items():
        *sections, last = dotted.split(".")
        place = tree
        for section in sections:
            place = place[section]
        place[last] = value
    return tree


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"networks.discriminator": PATCHGAN | {"local_window": 32}}, "networks.discriminator: local_window", "remove"),
        ({"holes.sides": [24, 33]}, "holes.sides", "larger than networks.discriminator.local_window = 32"),
        ({"holes": CENTER}, "holes.side", "larger than networks.discriminator.local_window = 32"),
        ({"holes": CENTER | {"side": 70}}, "holes.side", "leaves nothing"),
        (
            SMALL | {"networks.discriminator.global_convolutions": 6},
            "networks.discriminator.global_convolutions",
            "a single pixel of crop.size = 32",
        ),
        (SMALL, "networks.discriminator.local_convolutions", "at most 4, or precision: 32-true"),
        ({"networks.completion.output": "tanh"}, "input.range", "ends in tanh"),
        ({"input.range": "symmetric"}, "input.range", "ends in sigmoid"),
        ({"networks.completion": UNET}, "input.range", "ends in tanh"),
        (
            {"networks.completion": UNET, "input.range": "symmetric", "crop.size": 68},
            "crop.size",
            "68 is not divisible by 8, the stride of networks.completion.name = unet_attention",
        ),
        ({"networks.completion": UNET | {"width": 1.0}}, "networks.completion.width", "no such parameter"),
        ({"train_joint.reconstruction.region": "dilated"}, "train_joint.reconstruction.region", "input.context"),
        ({"adversarial": {"loss": "hinge", "real_label": 0.9, "r1": 0.0}}, "adversarial: real_label", "hinge"),
        ({"train_joint.adversarial.balance": 0.1}, "train_joint.adversarial: weight and balance", "one of them"),
        ({"train_joint.adversarial.weight": None}, "train_joint.adversarial: weight and balance", "one of them"),
        ({"train_joint.reconstruction.weight": 0.0}, "train_joint.reconstruction: weight, edges and ssim", "all 0"),
        ({"pretrain_generator.accumulate": 3}, "pretrain_generator.batch", "pretrain_generator.accumulate = 3"),
        ({"train_joint.accumulate": 16}, "train_joint.batch", "at least 2 images"),
        ({"train_joint.steps": 0}, "train_joint.steps", "give it 1 or more"),
        ({"train_joint.ema": 1.0}, "train_joint.ema", "less than 1"),
        ({"train_joint.skip_above": 1.5}, "train_joint.skip_above", "less than or equal to 1"),
        ({"train_joint.skip_above": 0.4}, "train_joint.skip_above", "greater than or equal to 0.5"),
        ({"adversarial.r1": 1.0, "runtime.compile": True}, "adversarial.r1", "runtime.compile"),
        (
            {"train_joint.adversarial": {"weight": None, "balance": 0.1}, "runtime.compile": True},
            "train_joint.adversarial.balance",
            "runtime.compile",
        ),
        ({"networks.completion.name": "glick"}, "networks.completion", "'glick'"),
        ({"networks.discriminator.name": "glick"}, "networks.discriminator", "'glick'"),
        ({"holes.name": "round"}, "holes", "'round'"),
        ({"train_joint.generator_optimiser.name": "sgd"}, "train_joint.generator_optimiser", "'sgd'"),
        ({"holes": {"sides": [2, 3]}}, "holes", "name: is missing"),
        ({"holes.number": [3, 1]}, "holes.number", "[smallest, largest], not [3, 1]"),
        ({"holes": {"name": "strokes", "ratio": [0.0, 0.5]}}, "holes.ratio.0", "greater than 0"),
        ({"holes": {"name": "strokes", "ratio": [0.5, 1.0]}}, "holes.ratio.1", "less than 1"),
        ({"holes": {"name": "strokes", "ratio": [0.5, 0.1]}}, "holes.ratio", "[smallest, largest]"),
        ({"holes.sides": [24, "a"]}, "holes.sides.1", "integer"),
        ({"augmentation.crop": [1.0, 0.5]}, "augmentation.crop", "[smallest, largest]"),
        ({"input.fill": 1.5}, "input.fill", "less than or equal to 1, not 1.5"),
        ({"input.fill": "black"}, "input.fill", "'surroundings', not 'black'"),
    ],
)
def test_nonsense_is_refused_before_anything_is_computed(changes: dict[str, Any], field: str, reason: str) -> None:
    """In one line that names the field as it stands in the file, without the kinds of a union that pydantic tried."""
    with pytest.raises(UserError) as refusal:
        validate(changed(changes), Path("params.yaml"))
    message = str(refusal.value)
    assert "\n" not in message
    assert message.startswith(f"params.yaml: {field}")
    assert reason in message
    for kind in (".box", ".center", ".strokes", ".glcic.", ".unet_attention", ".context.", "literal", "constrained"):
        assert kind not in message.replace("input.context", "")


@pytest.mark.parametrize(
    "changes",
    [
        SMALL | {"networks.discriminator.local_convolutions": 4},
        SMALL | {"train_joint.precision": "32-true"},
        {"holes": CENTER, "networks.discriminator": PATCHGAN},  # no window that it could be larger than
        {"holes": {"name": "strokes", "ratio": [0.1, 0.9]}},
        {"networks.completion": UNET, "input.range": "symmetric", "crop.size": 72},
        {"networks.completion.output": "clamp", "input.range": "symmetric"},
        {"networks.completion.output": "clamp"},
        {"adversarial": {"loss": "hinge", "real_label": 1.0, "r1": 0.0}},
        {"adversarial": {"loss": "least_squares", "real_label": 0.9, "r1": 10.0}},
        {"train_joint.adversarial": {"weight": None, "balance": 0.1}},
        {"train_joint.reconstruction.region": "dilated", "input.context": 4},
        {"train_joint.reconstruction.weight": 0.0, "train_joint.reconstruction.ssim": 1.0},
        {"pretrain_generator.steps": 0, "pretrain_discriminators.steps": 0},
        {"input.fill": 1.0},
    ],
)
def test_sense_beside_the_nonsense_is_accepted(changes: dict[str, Any]) -> None:
    """The refusals above are no wider than they have to be."""
    validate(changed(changes), Path("params.yaml"))


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
    after, defaults = comments(path), comments(PRESETS / "default.yaml")
    gone = defaults.keys() - after.keys()
    assert {n: c for n, c in after.items() if n in defaults} == {n: c for n, c in defaults.items() if n not in gone}
    assert all(f"{parameter.rpartition('.')[0]}.name" in changes for parameter in gone)  # with a section's name


def comments(path: Path) -> dict[str, list[str]]:
    """Comments of a parameter file by the dotted names of the parameters they explain."""
    found: dict[str, list[str]] = {}
    names: list[str] = []
    for line in path.read_text().splitlines():
        code, _, comment = line.partition("#")
        if ":" in code:
            depth = (len(code) - len(code.lstrip())) // 2
            names = [*names[:depth], code.split(":")[0].strip()]
        if comment:
            found.setdefault(".".join(names), []).append(comment)
    return found


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
