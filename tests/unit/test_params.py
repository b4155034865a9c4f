"""params.yaml: what is refused, and how it is said; and what version 0.1 called it."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from glcic.errors import UserError
from glcic.experiments.presets import apply_preset, overlays_of, preset_names, preset_tree, read_tree
from glcic.params import handed, leaves, load, load_report, plain, validate
from glcic.renamed import VALUES, translated
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
        ({"crop": {"image_size": 66}}, ["crop.image_size", "multiple of 4", "66"]),
        ({"pretrain_generator": {"batch_size": 0}}, ["pretrain_generator.batch_size", "greater than or equal to 1"]),
        ({"pretrain_generator": {"batch_size": "16"}}, ["pretrain_generator.batch_size", "integer", "'16'"]),
        (
            {"pretrain_generator": {"reconstruction": {"pixel_loss": "l3"}}},
            ["pretrain_generator.reconstruction.pixel_loss", "'l1'"],
        ),
        ({"augmentation": {"flip": 1.5}}, ["augmentation.flip", "1.5"]),
        (
            {"networks": {"generator": {"width_multiplier": float("nan")}}},
            ["networks.generator.width_multiplier", "nan"],
        ),
        ({"pretrain_generator": {"optimizer": {"rho": 0.9}}}, ["pretrain_generator.optimizer.rho", "no such"]),
        ({"masks": {"size_range": [32, 24]}}, ["masks", "smallest"]),
        ({"masks": {"size_range": [24, 60]}}, ["masks.size_range", "masks.margin", "crop.image_size = 64"]),
        ({"masks": {"size_range": [24, 33]}}, ["masks.size_range", "local_window = 32"]),
        ({"networks": {"discriminator": {"local_window": 80}}}, ["local_window", "crop.image_size = 64"]),
        ({"crop": {"center_crop": 48}}, ["crop.center_crop", "enlarged"]),
        ({"train_joint": {"batch_size": 3000}}, ["train_joint.batch_size", "download.synthetic.train"]),
        ({"train_joint": {"batch_size": 1}}, ["train_joint.batch_size", "at least 2 images"]),
        ({"runtime": {"devices": 3}}, ["pretrain_generator.batch_size", "runtime.devices = 3"]),
        ({"download": {"celeba": {"allow_subset": True}}}, ["download.celeba", "zip_md5"]),
        ({"download": {"image_folder": {"split_ratios": [0.5, 0.2, 0.1]}}}, ["download.image_folder", "sum to 1"]),
        ({"evaluate": {"mask_sets": ["center", "center"]}}, ["evaluate", "twice"]),
        ({"evaluate": {"mask_seed": -1}}, ["evaluate.mask_seed", "greater than or equal to 0"]),
        ({"evaluate": {"images": 0}}, ["evaluate.images", "greater than or equal to 1"]),
    ],
)
def test_bad_values_are_refused_by_name(change: dict[str, Any], named: list[str]) -> None:
    with pytest.raises(UserError) as refusal:
        validate(merge(default_tree(), change), Path("params.yaml"))
    message = str(refusal.value)
    assert "\n" not in message
    for part in ["params.yaml", *named]:
        assert part in message


HALF = {"name": "half"}
BOX = {"name": "box", "size_range": [24, 32], "margin": 4, "num_boxes": [1, 1]}
UNET, CENTER = {"name": "unet_attention", "channels": 32}, {"name": "center", "size": 40}
SMALL = {  # images for which the discriminator's five convolutions are one too many
    "crop.image_size": 32,
    "masks.size_range": [12, 16],
    "networks.discriminator.local_window": 16,
    "train_joint.precision": "bf16-mixed",
}
PATCHGAN = {"name": "patchgan", "channels": 32, "norm": "batch", "spectral_norm": False, "mask_channel": False}


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
        ({"masks.size_range": [24, 33]}, "masks.size_range", "larger than networks.discriminator.local_window = 32"),
        ({"masks": CENTER}, "masks.size", "larger than networks.discriminator.local_window = 32"),
        ({"masks": CENTER | {"size": 70}}, "masks.size", "leaves nothing"),
        (
            SMALL | {"networks.discriminator.global_layers": 6},
            "networks.discriminator.global_layers",
            "with crop.image_size = 32, the input of the last layer is a single pixel",
        ),
        (SMALL, "networks.discriminator.local_layers", "at most 4 layers, or precision: 32-true"),
        ({"networks.generator.output_activation": "tanh"}, "input.pixel_range", "ends in tanh"),
        ({"input.pixel_range": [-1, 1]}, "input.pixel_range", "ends in sigmoid"),
        ({"networks.generator": UNET}, "input.pixel_range", "ends in tanh"),
        (
            {"networks.generator": UNET, "input.pixel_range": [-1, 1], "crop.image_size": 68},
            "crop.image_size",
            "68 is not divisible by 8, the stride of networks.generator.name = unet_attention",
        ),
        (
            {"networks.generator": UNET | {"width_multiplier": 1.0}},
            "networks.generator.width_multiplier",
            "no such parameter",
        ),
        ({"train_joint.reconstruction.region": "dilated"}, "train_joint.reconstruction.region", "input.mask_dilation"),
        ({"gan": {"loss": "hinge", "real_label": 0.9, "r1_gamma": 0.0}}, "gan: real_label", "hinge"),
        ({"train_joint.adaptive_ratio": 0.1}, "train_joint: adv_weight and adaptive_ratio", "one of them"),
        ({"train_joint.adv_weight": None}, "train_joint: adv_weight and adaptive_ratio", "one of them"),
        (
            {"train_joint.reconstruction.pixel_weight": 0.0},
            "train_joint.reconstruction: pixel_weight, edge_weight and ssim_weight",
            "all 0",
        ),
        (
            {"pretrain_generator.grad_accum_steps": 3},
            "pretrain_generator.batch_size",
            "pretrain_generator.grad_accum_steps = 3",
        ),
        ({"train_joint.grad_accum_steps": 16}, "train_joint.batch_size", "at least 2 images"),
        ({"train_joint.steps": 0}, "train_joint.steps", "give it 1 or more"),
        ({"train_joint.ema_decay": 1.0}, "train_joint.ema_decay", "less than 1"),
        ({"train_joint.d_skip_accuracy": 1.5}, "train_joint.d_skip_accuracy", "less than or equal to 1"),
        ({"train_joint.d_skip_accuracy": 0.4}, "train_joint.d_skip_accuracy", "greater than or equal to 0.5"),
        ({"gan.r1_gamma": 1.0, "runtime.compile": True, "runtime.accelerator": "cuda"}, "gan.r1_gamma", "compile"),
        ({"gan.r1_gamma": 1.0}, "gan.r1_gamma", "set networks.discriminator.norm: none (or instance)"),
        (
            {"networks.discriminator": PATCHGAN, "gan.r1_gamma": 1.0},
            "gan.r1_gamma",
            "batch norm mixes the images of a batch",
        ),
        ({"networks.discriminator.spectral_norm": True}, "networks.discriminator: spectral_norm", "set norm: none"),
        (
            {"networks.discriminator": PATCHGAN | {"norm": "instance", "spectral_norm": True}},
            "networks.discriminator: spectral_norm",
            "where instance norm then scales each channel",
        ),
        (
            {"networks.discriminator": PATCHGAN | {"spectral_norm": True}},
            "networks.discriminator: spectral_norm",
            "batch norm then scales each channel",
        ),
        (
            {"networks.discriminator.norm": "instance"},
            "networks.discriminator.local_layers",
            "with networks.discriminator.local_window = 32, the last layer's output is one pixel",
        ),
        (
            {
                "train_joint.adv_weight": None,
                "train_joint.adaptive_ratio": 0.1,
                "runtime.compile": True,
                "runtime.accelerator": "auto",
            },
            "train_joint.adaptive_ratio",
            "runtime.compile",
        ),
        ({"networks.generator.name": "glick"}, "networks.generator", "'glick'"),
        ({"networks.discriminator.name": "glick"}, "networks.discriminator", "'glick'"),
        ({"masks.name": "round"}, "masks", "'round'"),
        ({"train_joint.optimizer_g.name": "sgd"}, "train_joint.optimizer_g", "'sgd'"),
        ({"masks": {"size_range": [2, 3]}}, "masks", "name: is missing"),
        ({"masks.num_boxes": [3, 1]}, "masks.num_boxes", "[smallest, largest], not [3, 1]"),
        ({"masks": {"name": "strokes", "area_ratio": [0.0, 0.5]}}, "masks.area_ratio.0", "greater than 0"),
        ({"masks": {"name": "strokes", "area_ratio": [0.5, 1.0]}}, "masks.area_ratio.1", "less than 1"),
        ({"masks": {"name": "strokes", "area_ratio": [0.5, 0.1]}}, "masks.area_ratio", "[smallest, largest]"),
        ({"masks.size_range": [24, "a"]}, "masks.size_range.1", "integer"),
        ({"masks": []}, "masks", "at least 1 item"),
        ({"masks": "box"}, "masks", "must be a section with parameters of its own, not 'box'"),
        ({"masks": HALF | {"weight": 1.0}}, "masks: remove weight", "make masks a list of several"),
        (
            {"masks": [HALF | {"weight": 1}, HALF]},
            "masks: each kind in a list needs a weight",
            "masks.1 (half) has none",
        ),
        ({"masks": [{"weight": 1.0, "name": "files", "folder": "x"}]}, "masks.0.sha256: is missing", "0" * 64),
        ({"masks": [HALF | {"weight": 0.0}]}, "masks.0.weight", "greater than 0"),
        ({"masks": [HALF | {"weight": 1.0, "size": 3}]}, "masks.0.size", "there is no such parameter"),
        ({"masks": [HALF | {"weight": 1.0}, {"weight": 1.0, "name": "round"}]}, "masks.1.name", "'round'"),
        ({"masks": [BOX | {"weight": 1.0, "num_boxes": [3, 1]}]}, "masks.0.num_boxes", "not [3, 1]"),
        ({"masks": [BOX | {"weight": 1.0, "size_range": [8, 64]}]}, "masks.0.size_range", "leaves nothing"),
        ({"masks": [BOX | {"weight": 1.0, "margin": 30}]}, "masks.0.size_range and masks.0.margin", "does not fit"),
        ({"masks": {"name": "border", "size_range": [8, 33]}}, "masks.size_range", "local_window = 32"),
        ({"pretrain_generator.init": "x"}, "pretrain_generator.init", "must be a section"),
        (
            {"pretrain_generator.init": {"path": "models/train_joint/g.safetensors", "sha256": "0" * 64}},
            "pretrain_generator.init.path",
            "the next training empties models/train_joint; copy the file elsewhere",
        ),
        ({"pretrain_generator.init": {"path": "x", "sha256": "abc"}}, "pretrain_generator.init.sha256", "match"),
        ({"augmentation.crop": [1.0, 0.5]}, "augmentation.crop", "[smallest, largest]"),
        ({"input.pixel_range": [0, 2]}, "input.pixel_range", "must be [0, 1] or [-1, 1], not [0, 2]"),
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
    for kind in (
        ".box",
        ".center",
        ".strokes",
        ".glcic.",
        ".unet_attention",
        ".global_local.",
        "literal",
        "constrained",
    ):
        assert kind not in message


@pytest.mark.parametrize(
    "changes",
    [
        SMALL | {"networks.discriminator.local_layers": 4},
        SMALL | {"train_joint.precision": "32-true"},
        {"masks": CENTER, "networks.discriminator": PATCHGAN},  # no window that it could be larger than
        {"masks": {"name": "strokes", "area_ratio": [0.1, 0.9]}},
        {"masks": HALF},
        {"masks": [HALF | {"weight": 1.0}, BOX | {"weight": 0.5, "size_range": [20, 36]}]},  # 32 is the window
        {"pretrain_generator.init": {"path": "x.safetensors", "sha256": "0" * 64}},
        {"networks.generator": UNET, "input.pixel_range": [-1, 1], "crop.image_size": 72},
        {"networks.generator.output_activation": "clamp", "input.pixel_range": [-1, 1]},
        {"networks.generator.output_activation": "clamp"},
        {"gan": {"loss": "hinge", "real_label": 1.0, "r1_gamma": 0.0}},
        {"gan": {"loss": "lsgan", "real_label": 0.9, "r1_gamma": 10.0}, "networks.discriminator.norm": "none"},
        {"networks.discriminator.norm": "none", "networks.discriminator.spectral_norm": True},
        {"networks.discriminator.norm": "instance", "networks.discriminator.local_layers": 4, "gan.r1_gamma": 1.0},
        {"networks.discriminator": PATCHGAN | {"norm": "none", "spectral_norm": True}, "gan.r1_gamma": 1.0},
        {"train_joint.adv_weight": None, "train_joint.adaptive_ratio": 0.1},
        {"train_joint.adv_weight": None, "train_joint.adaptive_ratio": 0.1, "runtime.compile": True},  # on a CPU
        {"train_joint.reconstruction.region": "dilated", "input.mask_dilation": 4},
        {"train_joint.reconstruction.pixel_weight": 0.0, "train_joint.reconstruction.ssim_weight": 1.0},
        {"pretrain_generator.steps": 0, "pretrain_discriminators.steps": 0},
        {"input.fill": 1.0},
    ],
)
def test_sense_beside_the_nonsense_is_accepted(changes: dict[str, Any]) -> None:
    """The refusals above are no wider than they have to be."""
    validate(changed(changes), Path("params.yaml"))


def test_a_report_need_not_have_what_belongs_to_its_machine(tmp_path: Path) -> None:
    """Its runtime is not asked whether it goes with the rest, either."""
    reported = changed({"seed": 5, "train_joint.adv_weight": None, "train_joint.adaptive_ratio": 0.1})
    reported["runtime"] |= {"compile": True, "accelerator": "cuda"}
    del reported["runtime"]["deterministic"], reported["tracking"]
    file = tmp_path / "params.yaml"
    YAML(typ="safe").dump(reported, file)
    assert load_report(file).seed == 5
    del reported["seed"]
    YAML(typ="safe").dump(reported, file)
    with pytest.raises(UserError, match=r"params\.yaml: seed: is missing"):
        load_report(file)


def test_a_missing_parameter_is_named() -> None:
    tree = default_tree()
    del tree["crop"]["image_size"]
    with pytest.raises(UserError, match=r"crop\.image_size: is missing"):
        validate(tree, Path("params.yaml"))


@pytest.mark.parametrize("text", ["a: [1", "a: 1\na: 2", "- 1", ""])
def test_what_is_no_parameter_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"params\.yaml"):
        load(path)


def test_a_stage_is_handed_its_sections_only() -> None:
    params = handed(load(PRESETS / "default.yaml"), ["seed", "crop.image_size"])
    assert params.crop.image_size == 64
    assert params.runtime.num_threads
    with pytest.raises(AttributeError):
        _ = params.download
    with pytest.raises(AttributeError):
        _ = params.crop.center_crop


@pytest.mark.parametrize("name", preset_names(PRESETS))
def test_presets_apply_and_keep_comments_and_runtime(tmp_path: Path, name: str) -> None:
    path = tmp_path / "params.yaml"
    yaml = YAML()
    before = yaml.load(PRESETS / "default.yaml")
    before["runtime"]["num_threads"] = 7
    before["seed"] = 5
    yaml.dump(before, path)
    changes = {dotted: after for dotted, _, after in apply_preset(name, PRESETS, path)}
    params = load(path)
    assert params.preset == name
    assert params.runtime.num_threads == 7  # belongs to the machine
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
    (tmp_path / "bad.yaml").write_text("crop:\n  image_sise: 64\n")
    path = tmp_path / "params.yaml"
    with pytest.raises(UserError, match=r"bad\.yaml: crop\.image_sise"):
        apply_preset("bad", tmp_path, path)
    assert not path.exists()


# What version 0.1 called the parameters of default.yaml, by their dotted names of today: the last part, or several.
OF_TRAINING = {
    "batch_size": "batch",
    "grad_accum_steps": "accumulate",
    "max_grad_norm": "clip",
    "lr_schedule": "schedule",
}
OF_GENERATOR = {
    "ema_decay": "ema",
    "reconstruction.pixel_loss": "error",
    "reconstruction.pixel_weight": "weight",
    "reconstruction.edge_weight": "edges",
    "reconstruction.ssim_weight": "ssim",
}
OF_OPTIMIZER = {"optimizer": "optimiser", "optimizer.lr": "learning_rate"}
OLD_NAMES = {
    "runtime.num_threads": "threads",
    "runtime.num_workers": "workers",
    "runtime.celeba_dir": "celeba",
    "runtime.image_folder": "images",
    "download.celeba.allow_subset": "partial",
    "download.image_folder": "images",
    "download.image_folder.split_ratios": "ratios",
    "download.image_folder.split_file": "partition",
    "crop.image_size": "size",
    "crop.center_crop": "square",
    "crop.max_skipped_fraction": "max_refused",
    "input.pixel_range": "range",
    "input.mask_dilation": "context",
    "networks.generator": "completion",
    "networks.generator.width_multiplier": "width",
    "networks.generator.norm": "normalisation",
    "networks.generator.output_activation": "output",
    "networks.discriminator.width_multiplier": "width",
    "networks.discriminator.global_layers": "global_convolutions",
    "networks.discriminator.local_layers": "local_convolutions",
    "networks.discriminator.head": "labels",
    "masks": "holes",
    "masks.size_range": "sides",
    "masks.margin": "border",
    "masks.num_boxes": "number",
    "gan": "adversarial",
    "gan.r1_gamma": "r1",
    "validation.num_images": "images",
    **{f"pretrain_generator.{new}": old for new, old in (OF_TRAINING | OF_GENERATOR | OF_OPTIMIZER).items()},
    **{f"pretrain_discriminators.{new}": old for new, old in (OF_TRAINING | OF_OPTIMIZER).items()},
    **{f"train_joint.{new}": old for new, old in (OF_TRAINING | OF_GENERATOR).items()},
    "train_joint.adv_weight": "adversarial.weight",
    "train_joint.adaptive_ratio": "adversarial.balance",
    "train_joint.d_skip_accuracy": "skip_above",
    "train_joint.optimizer_g": "generator_optimiser",
    "train_joint.optimizer_d": "discriminator_optimiser",
    "train_joint.optimizer_g.lr": "learning_rate",
    "train_joint.optimizer_d.lr": "learning_rate",
    "evaluate.mask_folder": "masks",
    "evaluate.extra_metrics": "extra",
    "evaluate.batch_size": "batch",
    "report.bootstrap_samples": "resamples",
    "report.confidence_level": "confidence",
}
# Of kinds of masks that default.yaml has not.
OTHER_MASKS = [
    ({"name": "center", "side": 32}, "masks.side", "masks.size"),
    ({"name": "strokes", "ratio": [0.1, 0.3]}, "masks.ratio", "masks.area_ratio"),
]
OLD_NAMES_OF_MASKS = {"masks.size": "side", "masks.area_ratio": "ratio"}
OLD_VALUES = [
    ("download.source", "images", "image_folder"),
    ("input.pixel_range", "unit", [0, 1]),
    ("input.pixel_range", "symmetric", [-1, 1]),
    ("input.fill", "mid_grey", "mid_gray"),
    ("networks.discriminator.name", "context", "global_local"),
    ("gan.loss", "least_squares", "lsgan"),
]


def of_version_0_1(tree: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """A tree of today's parameters as version 0.1 would have had it."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{above}.{key}" if above else key
        old_values = [old for parameter, old, new in OLD_VALUES if (parameter, new) == (name, value)]
        *sections, last = (OLD_NAMES | OLD_NAMES_OF_MASKS).get(name, key).split(".")
        place = found
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = of_version_0_1(value, name) if isinstance(value, Mapping) else (old_values or [value])[0]
    return found


def refused(tree: Any) -> str:
    with pytest.raises(UserError) as refusal:
        validate(tree, Path("some/params.yaml"))
    message = str(refusal.value)
    assert "\n" not in message
    assert message.startswith("some/params.yaml: ")
    return message


def renames(message: str) -> dict[str, str]:
    """What a refusal says of old names: {old dotted name: new one}."""
    assert "has names of version 0.1, which CHANGELOG.md explains; rename " in message
    return dict(re.findall(r"([\w.]+) to ([\w.]+)", message))


@pytest.mark.parametrize("new", OLD_NAMES)
def test_a_name_of_version_0_1_is_refused_with_the_name_of_today(new: str) -> None:
    tree = default_tree()
    *sections, last = new.split(".")
    section = tree
    for name in sections:
        section = section[name]
    place, value, (*between, old) = section, section.pop(last), OLD_NAMES[new].split(".")
    for name in between:
        place = place.setdefault(name, {})
    place[old] = value
    found = renames(refused(tree))
    changed_name = ".".join([*sections, *between, old])
    if isinstance(value, Mapping):  # of a section all values, by their names of today
        assert found == {f"{changed_name}.{'.'.join(keys)}": f"{new}.{'.'.join(keys)}" for keys, _ in leaves(value)}
    else:
        assert found == {changed_name: new}


@pytest.mark.parametrize(("masks", "old", "new"), OTHER_MASKS)
def test_so_are_those_of_other_kinds_of_masks(masks: dict[str, Any], old: str, new: str) -> None:
    assert renames(refused(changed({"masks": masks}))) == {old: new}


@pytest.mark.parametrize(("name", "old", "new"), OLD_VALUES)
def test_a_value_of_version_0_1_is_refused_with_the_value_of_today(name: str, old: str, new: Any) -> None:
    refusal = refused(changed({name: old}))
    assert refusal == f"some/params.yaml: {name}: {old} has been called {new} since version 0.2; rename it"


def test_no_other_value_was_renamed() -> None:
    known = [(name, old, new) for name, values in VALUES.items() for old, new in values.items()]
    assert known == OLD_VALUES


def test_a_file_of_version_0_1_is_told_all_its_names_at_once() -> None:
    today = {".".join(keys) for keys, _ in leaves(default_tree())}
    found = renames(refused(of_version_0_1(default_tree())))
    assert set(found.values()) <= today
    assert {name for name in OLD_NAMES if name in today} <= set(found.values())
    assert found["holes.sides"] == "masks.size_range"
    assert found["networks.completion.normalisation"] == "networks.generator.norm"
    assert found["train_joint.adversarial.balance"] == "train_joint.adaptive_ratio"
    assert found["train_joint.generator_optimiser.learning_rate"] == "train_joint.optimizer_g.lr"


def test_presets_refuse_old_names_and_keep_an_old_files_runtime(tmp_path: Path) -> None:
    for name in ("default.yaml", "tiny.yaml"):
        (tmp_path / name).write_text((PRESETS / name).read_text())
    params = tmp_path / "params.yaml"
    old = of_version_0_1(changed({"runtime.num_threads": 7}))
    YAML(typ="safe").dump(old, params)
    apply_preset("tiny", tmp_path, params)
    assert load(params).runtime.num_threads == 7
    (tmp_path / "mine.yaml").write_text("# Mine.\nholes:\n  sides: [24, 32]\n")
    with pytest.raises(UserError, match=r"mine\.yaml: has names of version 0\.1.*holes\.sides to masks\.size_range"):
        apply_preset("mine", tmp_path, params)


@pytest.mark.parametrize("name", preset_names(PRESETS))
def test_presets_of_version_0_1_are_translated_into_those_of_today(name: str) -> None:
    yaml = YAML(typ="safe")
    overlay = read_tree(yaml, PRESETS / f"{name}.yaml")
    whole = preset_tree(PRESETS, overlays_of(name, PRESETS), PRESETS / "default.yaml", yaml)
    for tree in (overlay, whole):
        old = of_version_0_1(tree)
        assert old != tree
        assert translated(old) == tree
        assert translated(tree) == tree


def test_sections_in_a_list_are_leaves_by_number_and_are_handed_as_plain_data() -> None:
    params = validate(changed({"masks": [HALF | {"weight": 1.0}, BOX | {"weight": 0.5}]}), Path("params.yaml"))
    assert dict(leaves({"masks": plain(params, "masks")}))[("masks", "1", "size_range")] == [24, 32]
    assert plain(params, "masks") == params.model_dump(mode="json")["masks"]
    assert "weight" not in validate(changed({"masks": BOX}), Path("params.yaml")).model_dump()["masks"]


def test_a_report_from_before_init_is_read(tmp_path: Path) -> None:
    tree = changed({})
    del tree["pretrain_generator"]["init"]
    with pytest.raises(UserError, match=r"pretrain_generator\.init: is missing"):
        validate(tree, Path("params.yaml"))
    (tmp_path / "params.yaml").write_text(json.dumps(tree))
    assert load_report(tmp_path / "params.yaml").pretrain_generator.init is None
