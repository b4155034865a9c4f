"""Every preset: what it is published to be, and that all stages run with it on tiny images."""

import json
import math
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML

from glcic.evaluation.definitions import METHODS
from glcic.evaluation.tables import read_methods
from glcic.experiments.presets import first_line, preset_names, preset_params
from glcic.inference.completer import Completer
from glcic.networks.cost import count_parameters
from glcic.networks.discriminators import discriminator
from glcic.networks.generators import completion_network
from glcic.networks.generators.glcic import CompletionNetwork
from glcic.networks.generators.unet import UNetAttention
from glcic.params import Context, Params, Training, UNetParams, handed, load
from support.project import ROOT, Project

PRESETS = ROOT / "presets"
NAMES = preset_names(PRESETS)
STAGES = ("pretrain_generator", "pretrain_discriminators", "train_joint")
OURS = {"best", "tiny"}  # promise a score, or to be quick, not somebody's numbers

# S, local window, batch, steps of the three phases, α, the generator's optimiser and its rates in the first and the
# last phase, error, fill, range.
FACTS = {
    "default": (64, 32, 16, (2200, 300, 400), 0.0003, "adam", (1e-3, 2e-4), "l1", "mean", "unit"),
    "celeba-small": (64, 32, 16, (16000, 1000, 2000), 0.001, "adam", (1e-3, 2e-4), "l1", "mean", "unit"),
    "celeba": (128, 64, 96, (90000, 10000, 100000), 0.0004, "adadelta", (1.0, 1.0), "mse", "mean", "unit"),
    "paper": (160, 96, 96, (90000, 10000, 400000), 0.0004, "adadelta", (1.0, 1.0), "mse", "mean", "unit"),
    "paper-places": (256, 128, 96, (90000, 10000, 400000), 0.0004, "adadelta", (1.0, 1.0), "mse", "mean", "unit"),
    "center-face": (160, 96, 96, (90000, 10000, 400000), 0.0004, "adadelta", (1.0, 1.0), "mse", "surroundings", "unit"),
    "glcic-128": (128, 64, 64, (90000, 0, 400000), 0.1, "adam", (1e-3, 1e-3), "mse", "mean", "symmetric"),
    "scenes-leaky": (256, 128, 16, (10000, 10000, 10000), 0.0004, "adam", (1e-3, 1e-3), "mse", 0.0, "symmetric"),
    "mmagic-gl": (160, 80, 96, (40000, 10000, 250002), 0.001, "adam", (4e-4, 4e-4), "l1", "mid_grey", "symmetric"),
    "unet-attention": (128, None, 20, (0, 0, 820), 1.0, "adam", (None, 2e-4), "l1", "mid_grey", "symmetric"),
    "unet-whole-image": (128, None, 20, (0, 0, 1230), 1.0, "adam", (None, 2e-4), "l1", "mid_grey", "symmetric"),
}

# What else makes a preset the system it is named after, by dotted names.
PARTICULARS: dict[str, dict[str, Any]] = {
    "paper": {"holes.sides": [48, 96], "augmentation.crop": [0.808, 1.0], "train_joint.schedule": "constant"},
    "paper-places": {"holes.sides": [96, 128], "augmentation.crop": [0.444, 1.0], "download.source": "images"},
    "center-face": {"holes": {"name": "center", "side": 80}, "networks.discriminator.labels": "per_branch"},
    "glcic-128": {"networks.completion.output": "tanh", "holes.sides": [24, 48]},
    "scenes-leaky": {
        "networks.completion.activation": "leaky_relu",
        "networks.discriminator.activation": "leaky_relu",
        "networks.completion.output": "tanh",
        "holes.sides": [64, 96],
        "download.source": "images",
    },
    "mmagic-gl": {"networks.completion.output": "clamp", "holes.sides": [68, 80], "holes.border": 13},
    "unet-attention": {
        "input.context": 4,
        "train_joint.reconstruction": {"error": "l1", "region": "dilated", "weight": 100.0, "edges": 10.0, "ssim": 1.0},
        "train_joint.clip": 1.0,
        "train_joint.skip_above": 0.8,
        "train_joint.generator_optimiser.betas": [0.5, 0.999],
        "adversarial": {"loss": "bce", "real_label": 0.9, "r1": 0.0},
        "holes": {"name": "box", "sides": [32, 32], "border": 16, "number": [1, 1]},
    },
    "unet-whole-image": {
        "input.context": 0,
        "train_joint.reconstruction": {"error": "l1", "region": "whole", "weight": 100.0, "edges": 10.0, "ssim": 1.0},
        "train_joint.skip_above": 0.8,
    },
}

# Parameters of the completion network and of the discriminator.
PARAMETERS = {
    "default": (382_547, 382_977),
    "celeba-small": (1_522_083, 1_526_273),
    "celeba": (6_072_131, 32_480_769),
    "paper": (6_072_131, 39_557_121),
    "paper-places": (6_072_131, 45_063_681),
    "center-face": (6_072_131, 39_557_122),  # two labels of 1024 + 1 instead of one of 2048 + 1
    "glcic-128": (6_072_131, 32_480_769),
    "scenes-leaky": (6_072_131, 45_063_681),
    "mmagic-gl": (6_072_131, 37_723_649),
    "unet-attention": (4_880_836, 35_553),
    "unet-whole-image": (1_221_860, 35_553),
}


@pytest.mark.parametrize("name", NAMES)
def test_first_line_says_what_the_preset_is(name: str) -> None:
    """`glcic preset` shows it beside the name."""
    assert (PRESETS / f"{name}.yaml").read_text().startswith("# ")
    assert len(first_line(name, PRESETS).split()) > 5


def test_every_preset_has_its_facts() -> None:
    assert set(NAMES) == FACTS.keys() | OURS == PARAMETERS.keys() | OURS
    assert PARTICULARS.keys() <= FACTS.keys()


@pytest.mark.parametrize("name", FACTS)
def test_presets_are_what_was_published(name: str) -> None:
    p = preset_params(name, PRESETS)
    judge, joint, first = p.networks.discriminator, p.train_joint, p.pretrain_generator
    sections: list[Training] = [p.pretrain_generator, p.pretrain_discriminators, p.train_joint]
    assert (
        p.crop.size,
        judge.local_window if isinstance(judge, Context) else None,
        joint.batch,
        tuple(section.steps for section in sections),
        joint.adversarial.weight,
        joint.generator_optimiser.name,
        (first.optimiser.learning_rate if first.steps else None, joint.generator_optimiser.learning_rate),
        joint.reconstruction.error,
        p.input.fill,
        p.input.range,
    ) == FACTS[name]
    # What the systems have in common, and what a preset that sets one phase and forgets another would get wrong.
    assert {section.batch for section in sections} == {joint.batch}
    assert joint.discriminator_optimiser == joint.generator_optimiser
    for phase in (first, p.pretrain_discriminators):
        if phase.steps:
            assert phase.optimiser.name == joint.generator_optimiser.name
    if first.steps:
        assert first.reconstruction == joint.reconstruction
    tree = p.model_dump(mode="json")
    for dotted, value in PARTICULARS.get(name, {}).items():
        found = tree
        for part in dotted.split("."):
            found = found[part]
        assert found == value, dotted


@pytest.mark.parametrize("name", PARAMETERS)
def test_networks_have_the_published_parameters(name: str) -> None:
    p = preset_params(name, PRESETS)
    with torch.device("meta"):
        C = completion_network(p.networks.completion, p.input)
        D = discriminator(p.networks.discriminator, p.crop.size)
    assert (count_parameters(C), count_parameters(D)) == PARAMETERS[name]


def shrunk(name: str) -> dict[str, Any]:
    """A preset's parameters with everything that costs time made small, and nothing else changed."""
    p = preset_params(name, PRESETS)
    tree: dict[str, Any] = p.model_dump(mode="json")
    tree["preset"] = name
    tree["runtime"]["threads"] = 1
    tree["tracking"]["enabled"] = False
    tree["download"] |= {"source": "synthetic", "synthetic": {"train": 12, "val": 4, "test": 4}}
    tree["crop"]["size"] = 16

    def scaled(pixels: int) -> int:
        return round(pixels * 16 / p.crop.size)

    completion, judge = tree["networks"]["completion"], tree["networks"]["discriminator"]
    completion |= {"channels": 8} if "channels" in completion else {"width": 0.0625}
    if "channels" in judge:
        judge |= {"channels": 4}
    else:
        judge |= {"width": 0.03125, "local_window": scaled(judge["local_window"])}
        for branch in ("global_convolutions", "local_convolutions"):  # which would end in less than a pixel
            judge[branch] -= round(math.log2(p.crop.size / 16))
    tree["input"]["context"] = math.ceil(p.input.context * 16 / p.crop.size)
    for key, value in tree["holes"].items():
        if key in ("side", "border"):
            tree["holes"][key] = scaled(value)
        elif key == "sides":
            tree["holes"][key] = [scaled(side) for side in value]
    for stage in STAGES:
        tree[stage] |= {"steps": min(tree[stage]["steps"], 2), "batch": 4, "validate_every": 1, "checkpoint_every": 2}
    tree["validation"]["images"] = 4
    tree["evaluate"] |= {"batch": 4, "figure_rows": 1}
    return tree


@pytest.fixture
def folder(cropped: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder: a project with tiny data whose stages run in this process."""
    for name in ("dvc.yaml", "pipeline", "src"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "data").symlink_to(cropped.folder / "data")
    monkeypatch.chdir(tmp_path)
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield tmp_path
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


def run(stage: str, params: Params) -> None:
    """As pipeline._stage.run does, without a process of its own."""
    definition = YAML(typ="safe").load(Path("dvc.yaml"))["stages"][stage]
    import_module(f"pipeline.{stage}").main(handed(params, definition["params"]))


def columns(params: Params) -> dict[str, list[str]]:
    """Of each stage's curve."""
    point, scores = ["step", "images", "schedule"], ["val_l1_hole", "val_psnr"]
    accuracies = ["val_accuracy_real", "val_accuracy_completed"]
    judged = ["discriminator_real", "discriminator_completed", *(["r1"] if params.adversarial.r1 else [])]
    learnt = ["reconstruction", "adversarial", *(["alpha"] if params.train_joint.adversarial.balance else [])]
    skipped = ["skipped"] if params.train_joint.skip_above else []
    pulls = ["reconstruction", "adversarial", *(["ratio"] if params.train_joint.adversarial.weight is not None else [])]
    health = [*(f"val_gradient_{name}" for name in pulls), "val_saturated", "val_variety"]
    alone, apart = params.pretrain_generator.steps > 0, params.pretrain_discriminators.steps > 0
    return {
        "pretrain_generator": [*point, *(["reconstruction"] if alone else []), *scores],
        "pretrain_discriminators": [*point, *(judged if apart else []), *accuracies],
        "train_joint": [*point, *learnt, *judged, *skipped, *scores, *accuracies, *health],
    }


@pytest.mark.parametrize("name", NAMES)
def test_all_stages_run_with_the_preset(folder: Path, name: str) -> None:
    YAML(typ="safe").dump(shrunk(name), folder / "params.yaml")
    params = load(folder / "params.yaml")
    for stage in (*STAGES, "evaluate", "report"):
        run(stage, params)

    metrics = json.loads((folder / "reports" / "metrics.json").read_text())
    methods = list(METHODS)
    if not params.pretrain_generator.steps:
        methods.remove("pretrained")  # it is as random as at its start
    assert list(metrics) == ["val", "test"]
    table = read_methods((folder / "reports" / "methods.csv").read_text())
    assert list(table) == params.evaluate.mask_sets
    for mask_set, scores in table.items():
        assert list(scores) == methods
        assert all(value is not None for method in scores.values() for value in method.values())
        assert metrics["test"][mask_set] == scores["completion"]

    for stage, expected in columns(params).items():
        curve = pd.read_csv(folder / "reports" / "curves" / f"{stage}.csv")
        steps = getattr(params, stage).steps
        assert list(curve.columns) == expected, stage
        assert curve["step"].tolist() == (list(range(1, steps + 1)) or [0]), stage
        assert np.isfinite(curve.to_numpy()).all(), stage

    kind = UNetAttention if isinstance(params.networks.completion, UNetParams) else CompletionNetwork
    for weights in ("completion_last", "completion_best"):
        completer = Completer(folder / "models" / "train_joint" / f"{weights}.safetensors")
        assert isinstance(completer.network, kind)
        assert (completer.prepare.section, completer.size, completer.steps) == (params.input, 16, 2)
        image = np.random.default_rng(0).integers(0, 256, (1, 3, 21, 18), dtype=np.uint8)
        mask = np.zeros((1, 1, 21, 18), dtype=np.uint8)
        mask[..., 5:12, 4:11] = 1
        assert np.array_equal(completer(image, mask)[..., mask[0, 0] == 0], image[..., mask[0, 0] == 0])
