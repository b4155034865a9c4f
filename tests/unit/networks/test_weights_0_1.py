"""Weights files as version 0.1 wrote them, with its names, are read as those of today."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch import Tensor, nn

from glcic.inference.completer import Completer
from glcic.networks.discriminators.global_local import GlobalLocalDiscriminator
from glcic.networks.weights import load_weights, read_about, save_weights, with_weights
from support.networks import generator, global_local, unet
from support.project import ABOUT

OTHERS = {"mean_pixel": [0.25, 0.5, 0.75], "step": 6}


def written_by_0_1(path: Path, weights: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """As that version's save_weights did."""
    tensors = {name: tensor.detach().contiguous() for name, tensor in sorted(weights.items())}
    path.write_bytes(save(tensors, {"glcic": json.dumps(about, sort_keys=True)}))


def trained(network: nn.Module) -> dict[str, Tensor]:
    """Weights and statistics that no new network has."""
    torch.manual_seed(1)
    state = network.state_dict()
    for tensor in state.values():
        if tensor.is_floating_point():
            of_norm = tensor.ndim == 1
            tensor.copy_(
                0.5 + torch.rand_like(tensor) if of_norm else torch.randn_like(tensor) / tensor[0].numel() ** 0.5
            )
    return dict(state)


def old_keys(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    names = {".norm.": ".normalisation.", "global_head.": "global_label.", "local_head.": "local_label."}
    found = {}
    for name, tensor in weights.items():
        for new, old in names.items():
            name = name.replace(new, old)
        found[name] = tensor
    return found


def same_completions(old: Path, new: Path) -> None:
    before, after = Completer(old), Completer(new)
    assert before.preprocessor.input_params == after.preprocessor.input_params
    assert (before.image_size, before.steps) == (after.image_size, after.steps) == (16, 6)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 3, 17, 22), dtype=np.uint8)
    masks = np.zeros((3, 1, 17, 22), dtype=np.uint8)
    masks[:, :, 3:9, 4:12] = 1
    completed = before(images, masks)
    assert np.array_equal(completed, after(images, masks))
    hole = np.broadcast_to(masks == 1, images.shape)
    assert len(np.unique(completed[hole])) > 3  # not saturated
    assert np.array_equal(completed[~hole], images[~hole])


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
@pytest.mark.parametrize("convolution", ["plain", "gated"])
@pytest.mark.parametrize(
    ("output", "pixel_range", "old_range", "fill", "old_fill", "dilation"),
    [
        ("sigmoid", [0, 1], "unit", "mean", "mean", 0),
        ("tanh", [-1, 1], "symmetric", "mid_gray", "mid_grey", 2),
        ("clamp", [-1, 1], "symmetric", 0.25, 0.25, 1),
    ],
)
def test_a_generator_completes_as_it_did(
    tmp_path: Path,
    norm: str,
    convolution: str,
    output: str,
    pixel_range: list[int],
    old_range: str,
    fill: str | float,
    old_fill: str | float,
    dilation: int,
) -> None:
    changes: dict[str, Any] = {"norm": norm, "convolution": convolution, "output_activation": output}
    weights = trained(generator(0.0625, **changes))
    new_about = {
        "generator": ABOUT["generator"] | changes,
        "input": {"pixel_range": pixel_range, "fill": fill, "mask_dilation": dilation},
        "image_size": 16,
        **OTHERS,
    }
    old_about = {
        "completion": {
            "name": "glcic",
            "width": 0.0625,
            "normalisation": norm,
            "activation": "relu",
            "convolution": convolution,
            "output": output,
        },
        "input": {"range": old_range, "fill": old_fill, "context": dilation},
        "size": 16,
        **OTHERS,
    }
    keys = old_keys(weights)
    assert any(".normalisation." in name for name in keys) == (convolution == "gated" and norm != "none")
    save_weights(tmp_path / "new.safetensors", weights, new_about)
    written_by_0_1(tmp_path / "old.safetensors", keys, old_about)
    assert read_about(tmp_path / "old.safetensors")[0] == new_about
    same_completions(tmp_path / "old.safetensors", tmp_path / "new.safetensors")


def test_so_does_the_unet(tmp_path: Path) -> None:
    weights = trained(unet(8))
    about = {
        "generator": {"name": "unet_attention", "channels": 8},
        "input": {"pixel_range": [-1, 1], "fill": "mid_gray", "mask_dilation": 1},
        "image_size": 16,
        **OTHERS,
    }
    old = {
        "completion": {"name": "unet_attention", "channels": 8},
        "input": {"range": "symmetric", "fill": "mid_grey", "context": 1},
        "size": 16,
        **OTHERS,
    }
    save_weights(tmp_path / "new.safetensors", weights, about)
    written_by_0_1(tmp_path / "old.safetensors", weights, old)
    same_completions(tmp_path / "old.safetensors", tmp_path / "new.safetensors")


def test_a_discriminator_with_a_label_for_each_branch_judges_as_it_did(tmp_path: Path) -> None:
    def network() -> GlobalLocalDiscriminator:
        return global_local(16, 8, 3, 2, 0.03125, head="per_branch")

    D = network()
    D.load_state_dict(trained(D))
    keys = old_keys(D.state_dict())
    assert {name.partition(".")[0] for name in keys} >= {"global_label", "local_label"}
    assert not any("_head" in name for name in keys)
    about = {
        "completion": {
            "name": "glcic",
            "width": 0.0625,
            "normalisation": "batch",
            "activation": "relu",
            "convolution": "plain",
            "output": "sigmoid",
        },
        "discriminator": {
            "name": "context",
            "width": 0.03125,
            "local_window": 8,
            "global_convolutions": 3,
            "local_convolutions": 2,
            "activation": "relu",
            "labels": "per_branch",
            "spectral_norm": False,
            "mask_channel": False,
        },
        "input": {"range": "unit", "fill": "mean", "context": 0},
        "size": 16,
        **OTHERS,
    }
    written_by_0_1(tmp_path / "old.safetensors", keys, about)
    loaded = with_weights(network(), tmp_path / "old.safetensors").eval()
    image, mask, corner = torch.rand(2, 3, 16, 16), torch.zeros(2, 1, 16, 16), torch.tensor([[0, 0], [4, 8]])
    assert torch.equal(loaded(image, mask, corner), D.eval()(image, mask, corner))
    assert load_weights(tmp_path / "old.safetensors")[1] == {
        **ABOUT,
        "discriminator": {
            "name": "global_local",
            "width_multiplier": 0.03125,
            "local_window": 8,
            "global_layers": 3,
            "local_layers": 2,
            "activation": "relu",
            "head": "per_branch",
            "spectral_norm": False,
            "mask_channel": False,
        },
        **OTHERS,
    }
