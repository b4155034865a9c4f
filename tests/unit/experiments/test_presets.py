"""Every preset: what it is published to be, and that all stages run with it on tiny images."""

import copy
import json
import math
from collections.abc import Iterator
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML

from glcic.data.batches import Batch
from glcic.evaluation.definitions import METHODS
from glcic.evaluation.tables import read_methods
from glcic.experiments.presets import first_line, preset_names, preset_params
from glcic.inference.completer import Completer
from glcic.networks.cost import count_parameters
from glcic.networks.discriminators import build_discriminator
from glcic.networks.generators import build_generator
from glcic.networks.generators.glcic import GlcicGenerator
from glcic.networks.generators.unet import UNetAttention
from glcic.params import GlobalLocalParams, Params, Training, UNetParams, handed, load
from glcic.phases.pretrain_discriminators import PretrainDiscriminatorsPhase
from glcic.phases.pretrain_generator import PretrainGeneratorPhase
from glcic.phases.train_joint import TrainJointPhase
from glcic.training.loop import TrainState, take_step
from glcic.training.phase import Phase
from pipeline.stage import configuration, start_of
from support.devices import NoCopiesThatWait, without_values
from support.project import ROOT, Project

PRESETS = ROOT / "presets"
NAMES = preset_names(PRESETS)
STAGES = ("pretrain_generator", "pretrain_discriminators", "train_joint")
OURS = {"best", "celeba-128", "tiny"}  # promise a score, or to be quick, not somebody's numbers

# S, local window, batch, steps of the three phases, α, the generator's optimizer and its rates in the first and the
# last phase, pixel loss, fill, pixel range.
FACTS = {
    "default": (64, 32, 16, (2200, 300, 400), 0.0003, "adam", (1e-3, 2e-4), "l1", "mean", [0, 1]),
    "celeba-small": (64, 32, 16, (16000, 1000, 2000), 0.001, "adam", (1e-3, 2e-4), "l1", "mean", [0, 1]),
    "celeba": (128, 64, 96, (90000, 10000, 100000), 0.0004, "adadelta", (1.0, 1.0), "mse", "mean", [0, 1]),
    "paper": (160, 96, 96, (90000, 10000, 400000), 0.0004, "adadelta", (1.0, 1.0), "mse", "mean", [0, 1]),
    "paper-places": (256, 128, 96, (90000, 10000, 400000), 0.0004, "adadelta", (1.0, 1.0), "mse", "mean", [0, 1]),
    "center-face": (160, 96, 96, (90000, 10000, 400000), 0.0004, "adadelta", (1.0, 1.0), "mse", "surroundings", [0, 1]),
    "glcic-128": (128, 64, 64, (90000, 0, 400000), 0.1, "adam", (1e-3, 1e-3), "mse", "mean", [-1, 1]),
    "scenes-leaky": (256, 128, 16, (10000, 10000, 10000), 0.0004, "adam", (1e-3, 1e-3), "mse", 0.0, [-1, 1]),
    "mmagic-gl": (160, 80, 96, (40000, 10000, 250002), 0.001, "adam", (4e-4, 4e-4), "l1", "mid_gray", [-1, 1]),
    "unet-attention": (128, None, 20, (0, 0, 820), 1.0, "adam", (None, 2e-4), "l1", "mid_gray", [-1, 1]),
    "unet-whole-image": (128, None, 20, (0, 0, 1230), 1.0, "adam", (None, 2e-4), "l1", "mid_gray", [-1, 1]),
}

# What else makes a preset the system it is named after, by dotted names.
PARTICULARS: dict[str, dict[str, Any]] = {
    "paper": {"masks.size_range": [48, 96], "augmentation.crop": [0.808, 1.0], "train_joint.lr_schedule": "constant"},
    "paper-places": {
        "masks.size_range": [96, 128],
        "augmentation.crop": [0.444, 1.0],
        "download.source": "image_folder",
    },
    "center-face": {"masks": {"name": "center", "size": 80}, "networks.discriminator.head": "per_branch"},
    "glcic-128": {"networks.generator.output_activation": "tanh", "masks.size_range": [24, 48]},
    "scenes-leaky": {
        "networks.generator.activation": "leaky_relu",
        "networks.discriminator.activation": "leaky_relu",
        "networks.generator.output_activation": "tanh",
        "masks.size_range": [64, 96],
        "download.source": "image_folder",
    },
    "mmagic-gl": {"networks.generator.output_activation": "clamp", "masks.size_range": [68, 80], "masks.margin": 13},
    "unet-attention": {
        "input.mask_dilation": 4,
        "train_joint.reconstruction": {
            "pixel_loss": "l1",
            "region": "dilated",
            "pixel_weight": 100.0,
            "edge_weight": 10.0,
            "ssim_weight": 1.0,
        },
        "train_joint.max_grad_norm": 1.0,
        "train_joint.d_skip_accuracy": 0.8,
        "train_joint.optimizer_g.betas": [0.5, 0.999],
        "gan": {"loss": "bce", "real_label": 0.9, "r1_gamma": 0.0},
        "masks": {"name": "box", "size_range": [32, 32], "margin": 16, "num_boxes": [1, 1]},
    },
    "unet-whole-image": {
        "input.mask_dilation": 0,
        "train_joint.reconstruction": {
            "pixel_loss": "l1",
            "region": "whole",
            "pixel_weight": 100.0,
            "edge_weight": 10.0,
            "ssim_weight": 1.0,
        },
        "train_joint.d_skip_accuracy": 0.8,
    },
}

# Parameters of the generator and of the discriminator.
PARAMETERS = {
    "default": (382_547, 382_977),
    "celeba-small": (1_522_083, 1_526_273),
    "celeba": (6_072_131, 32_480_769),
    "paper": (6_072_131, 39_557_121),
    "paper-places": (6_072_131, 45_063_681),
    "center-face": (6_072_131, 39_557_122),  # two heads of 1024 + 1 instead of one of 2048 + 1
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
        p.crop.image_size,
        judge.local_window if isinstance(judge, GlobalLocalParams) else None,
        joint.batch_size,
        tuple(section.steps for section in sections),
        joint.adv_weight,
        joint.optimizer_g.name,
        (first.optimizer.lr if first.steps else None, joint.optimizer_g.lr),
        joint.reconstruction.pixel_loss,
        p.input.fill,
        p.input.pixel_range,
    ) == FACTS[name]
    # What the systems have in common, and what a preset that sets one phase and forgets another would get wrong.
    assert {section.batch_size for section in sections} == {joint.batch_size}
    assert joint.optimizer_d == joint.optimizer_g
    for phase in (first, p.pretrain_discriminators):
        if phase.steps:
            assert phase.optimizer.name == joint.optimizer_g.name
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
        G = build_generator(p.networks.generator, p.input)
        D = build_discriminator(p.networks.discriminator, p.crop.image_size)
    assert (count_parameters(G), count_parameters(D)) == PARAMETERS[name]


def shrunk(name: str) -> dict[str, Any]:
    """A preset's parameters with everything that costs time made small, and nothing else changed."""
    p = preset_params(name, PRESETS)
    tree: dict[str, Any] = p.model_dump(mode="json")
    tree["preset"] = name
    tree["runtime"]["num_threads"] = 1
    tree["tracking"]["enabled"] = False
    tree["download"] |= {"source": "synthetic", "synthetic": {"train": 12, "val": 4, "test": 4}}
    tree["crop"]["image_size"] = 16

    def scaled(pixels: int) -> int:
        return round(pixels * 16 / p.crop.image_size)

    generator, judge = tree["networks"]["generator"], tree["networks"]["discriminator"]
    generator |= {"channels": 8} if "channels" in generator else {"width_multiplier": 0.0625}
    if "channels" in judge:
        judge |= {"channels": 4}
    else:
        judge |= {"width_multiplier": 0.03125, "local_window": scaled(judge["local_window"])}
        for branch in ("global_layers", "local_layers"):  # which would end in less than a pixel
            judge[branch] -= round(math.log2(p.crop.image_size / 16))
    tree["input"]["mask_dilation"] = math.ceil(p.input.mask_dilation * 16 / p.crop.image_size)
    for key, value in tree["masks"].items():
        if key in ("size", "margin"):
            tree["masks"][key] = scaled(value)
        elif key == "size_range":
            tree["masks"][key] = [scaled(side) for side in value]
    for stage in STAGES:
        tree[stage] |= {
            "steps": min(tree[stage]["steps"], 2),
            "batch_size": 4,
            "validate_every": 1,
            "checkpoint_every": 2,
        }
    tree["validation"]["num_images"] = 4
    tree["evaluate"] |= {"batch_size": 4, "figure_rows": 1}
    return tree


@pytest.mark.parametrize("name", NAMES)
def test_no_step_of_a_preset_waits_for_its_device(name: str) -> None:
    """Losses are asked for when a line is printed, and not in a step: preparing the batch, updates and averages."""
    params = Params.model_validate(shrunk(name))
    G = build_generator(params.networks.generator, params.input)
    D = build_discriminator(params.networks.discriminator, 16)
    fabric, common = without_values(), (params.input, [0.5] * 3)
    phases: dict[str, Phase] = {
        "pretrain_generator": PretrainGeneratorPhase(fabric, copy.deepcopy(G), params.pretrain_generator, *common),
        "pretrain_discriminators": PretrainDiscriminatorsPhase(
            fabric, copy.deepcopy(G), copy.deepcopy(D), params.pretrain_discriminators, params.gan, *common
        ),
        "train_joint": TrainJointPhase(fabric, G, D, params.train_joint, params.gan, *common),
    }
    image, mask = (torch.zeros(4, channels, 16, 16, dtype=torch.uint8) for channels in (3, 1))
    batch = Batch(image, mask, torch.zeros(4, 2, dtype=torch.int64), torch.zeros(4, 2, dtype=torch.int64))
    for stage, phase in phases.items():
        state, section = TrainState(), getattr(params, stage)
        for step in range(section.steps):
            with NoCopiesThatWait() if step else nullcontext():  # the first one makes constants
                losses = take_step(phase, batch, section, state)
            assert {loss.device.type for loss in losses.values()} == {"meta"}


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
    """As pipeline.stage.run does, without a process of its own."""
    definition = YAML(typ="safe").load(Path("dvc.yaml"))["stages"][stage]
    import_module(f"pipeline.{stage}").main(handed(params, definition["params"]))


def columns(params: Params) -> dict[str, list[str]]:
    """Of each stage's curve."""
    point, scores = ["step", "images_seen", "lr_factor"], ["val_l1_hole", "val_psnr"]
    accuracies = ["val_d_acc_real", "val_d_acc_fake"]
    judged = ["d_loss_real", "d_loss_fake", *(["r1_penalty"] if params.gan.r1_gamma else [])]
    learned = ["g_loss_rec", "g_loss_adv", *(["adv_weight"] if params.train_joint.adaptive_ratio else [])]
    skipped = ["d_skipped"] if params.train_joint.d_skip_accuracy else []
    pulls = ["rec", "adv", *(["ratio"] if params.train_joint.adv_weight is not None else [])]
    health = [*(f"val_grad_norm_{name}" for name in pulls), "val_saturated", "val_diversity"]
    alone, apart = params.pretrain_generator.steps > 0, params.pretrain_discriminators.steps > 0
    return {
        "pretrain_generator": [*point, *(["g_loss_rec"] if alone else []), *scores],
        "pretrain_discriminators": [*point, *(judged if apart else []), *accuracies],
        "train_joint": [*point, *learned, *judged, *skipped, *scores, *accuracies, *health],
    }


@pytest.mark.parametrize("name", NAMES)
def test_all_stages_run_with_the_preset(folder: Path, name: str) -> None:
    YAML(typ="safe").dump(shrunk(name), folder / "params.yaml")
    configuration.cache_clear()  # a process runs one stage, of one configuration
    start_of.cache_clear()
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
    for scores in table.values():
        assert list(scores) == methods
        assert all(value is not None for method in scores.values() for value in method.values())

    for metric, mean in metrics["test"].items():
        assert mean == pytest.approx(np.mean([scores["completion"][metric] for scores in table.values()]), abs=1e-6)

    for stage, expected in columns(params).items():
        curve = pd.read_csv(folder / "reports" / "curves" / f"{stage}.csv")
        steps = getattr(params, stage).steps
        assert list(curve.columns) == expected, stage
        assert curve["step"].tolist() == (list(range(1, steps + 1)) or [0]), stage
        assert np.isfinite(curve.to_numpy()).all(), stage

    kind = UNetAttention if isinstance(params.networks.generator, UNetParams) else GlcicGenerator
    for weights in ("generator_last", "generator_best"):
        completer = Completer(folder / "models" / "train_joint" / f"{weights}.safetensors")
        assert isinstance(completer.network, kind)
        assert (completer.preprocessor.input_params, completer.image_size, completer.steps) == (params.input, 16, 2)
        image = np.random.default_rng(0).integers(0, 256, (1, 3, 21, 18), dtype=np.uint8)
        mask = np.zeros((1, 1, 21, 18), dtype=np.uint8)
        mask[..., 5:12, 4:11] = 1
        assert np.array_equal(completer(image, mask)[..., mask[0, 0] == 0], image[..., mask[0, 0] == 0])
