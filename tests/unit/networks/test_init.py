"""Trainings start from the very weights that are named, or not at all."""

from pathlib import Path
from typing import Any

import pytest
import torch

from glcic.errors import UserError
from glcic.files import sha256_of
from glcic.networks.generators import build_generator
from glcic.networks.init import initialized
from glcic.networks.weights import save_weights
from glcic.params import GlcicParams, Input, WeightsFile

SECTION = GlcicParams(
    name="glcic",
    width_multiplier=0.125,
    norm="batch",
    activation="relu",
    convolution="plain",
    output_activation="clamp",
)
INPUT = Input(pixel_range=[0, 1], fill="mean", mask_dilation=0)


def saved(path: Path, dtype: torch.dtype = torch.float32) -> WeightsFile:
    """Weights of another seed, of images of 64 pixels."""
    torch.manual_seed(1)
    weights = {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor
        for name, tensor in build_generator(SECTION, INPUT).state_dict().items()
    }
    about = {"generator": SECTION.model_dump(mode="json"), "input": INPUT.model_dump(mode="json")}
    save_weights(path, weights, {**about, "image_size": 64, "mean_pixel": [0.5] * 3, "step": 1})
    return WeightsFile(path=str(path), sha256=sha256_of(path))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_weights_are_those_of_the_file(tmp_path: Path, dtype: torch.dtype) -> None:
    init = saved(tmp_path / "mine.safetensors", dtype)
    torch.manual_seed(1)
    expected = build_generator(SECTION, INPUT).state_dict()
    torch.manual_seed(0)
    found = initialized(build_generator(SECTION, INPUT), init, SECTION, INPUT)
    for name, tensor in found.state_dict().items():
        assert tensor.dtype == expected[name].dtype
        assert torch.equal(tensor, expected[name].to(dtype).to(tensor.dtype) if tensor.is_floating_point() else tensor)


def test_without_init_the_weights_stay() -> None:
    generator = build_generator(SECTION, INPUT)
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    assert initialized(generator, None, SECTION, INPUT) is generator
    assert all(torch.equal(tensor, before[name]) for name, tensor in generator.state_dict().items())


@pytest.mark.parametrize(
    ("section", "input_params", "complaint"),
    [
        ({"width_multiplier": 0.25}, {}, r"generator\.width_multiplier \(0\.125 → 0\.25\)"),
        ({"norm": "none"}, {}, r"generator\.norm \(batch → none\)"),
        ({}, {"pixel_range": [-1, 1]}, r"pixel_range \(\[0, 1\] → \[-1, 1\]\)"),
    ],
)
def test_weights_of_another_generator_are_refused(
    tmp_path: Path, section: dict[str, Any], input_params: dict[str, Any], complaint: str
) -> None:
    init, ours = saved(tmp_path / "mine.safetensors"), SECTION.model_copy(update=section)
    given = INPUT.model_copy(update=input_params)
    with pytest.raises(UserError, match=rf"pretrain_generator\.init: .*mine\.safetensors .*{complaint}"):
        initialized(build_generator(ours, given), init, ours, given)


def test_another_fill_is_learned(tmp_path: Path) -> None:
    given = INPUT.model_copy(update={"fill": "surroundings"})
    initialized(build_generator(SECTION, given), saved(tmp_path / "mine.safetensors"), SECTION, given)


def test_files_that_are_missing_or_others_are_refused(tmp_path: Path) -> None:
    init, generator = saved(tmp_path / "mine.safetensors"), build_generator(SECTION, INPUT)
    with pytest.raises(UserError, match=rf"pretrain_generator\.init\.sha256; .*set that to {init.sha256}"):
        initialized(generator, init.model_copy(update={"sha256": "0" * 64}), SECTION, INPUT)
    with pytest.raises(UserError, match=r"pretrain_generator\.init\.path: .*no such file"):
        initialized(generator, init.model_copy(update={"path": str(tmp_path / "no")}), SECTION, INPUT)
    (tmp_path / "mine.safetensors").write_bytes(b"no weights")
    other = WeightsFile(path=init.path, sha256=sha256_of(tmp_path / "mine.safetensors"))
    with pytest.raises(UserError, match="not a weights file of this project"):
        initialized(generator, other, SECTION, INPUT)
