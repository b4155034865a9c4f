"""Weights files: a damaged one is refused wherever the damage is, and so are values that no trained network has."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from glcic.errors import UserError
from glcic.inference.completer import Completer
from glcic.networks.weights import load_weights, read_about, save_weights, with_weights
from support.networks import generator
from support.project import ABOUT


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "weights.safetensors"
    save_weights(path, generator(0.0625).state_dict(), ABOUT)
    return path


def flipped(path: Path, place: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1 << bit
    path.write_bytes(data)


def test_one_flipped_bit_anywhere_is_refused(weights: Path) -> None:
    data = weights.read_bytes()
    length = int.from_bytes(data[:8], "little")
    in_header = range(8, 8 + len(data[8 : 8 + length].rstrip()))  # after it, spaces fill up to eight bytes
    in_tensors = range(8 + length, len(data), len(data) // 50)
    for place in [*range(8), *in_header, *in_tensors]:
        flipped(weights, place, place % 7)
        for read in (load_weights, read_about):
            with pytest.raises(
                UserError, match=r"damaged: its SHA-256 does not match|is not a weights file of this project"
            ):
                read(weights)
        weights.write_bytes(data)
    load_weights(weights)


def test_files_cut_short_or_lengthened_are_refused(weights: Path) -> None:
    data = weights.read_bytes()
    for wrong in (b"", data[:4], data[:100], data[: len(data) // 2], data[:-1], data + b"\0"):
        weights.write_bytes(wrong)
        with pytest.raises(UserError, match="is not a weights file of this project"):
            read_about(weights)


@pytest.mark.parametrize("about", ["[]", "3", "null", '"text"', "{"])
def test_metadata_of_another_kind_are_refused(weights: Path, about: str) -> None:
    weights.write_bytes(save(load_weights(weights)[0], {"glcic": about}))
    with pytest.raises(UserError, match=r"weights\.safetensors"):
        Completer(weights)


def test_files_of_before_the_digest_load(weights: Path, tmp_path: Path) -> None:
    state, about = load_weights(weights)
    assert about == ABOUT
    old = tmp_path / "old.safetensors"
    old.write_bytes(save(state, {"glcic": json.dumps(about)}))
    assert load_weights(old)[1] == ABOUT


def changed(name: str, change: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    state = dict(generator(0.0625).state_dict())
    state[name] = change(state[name])
    return state


@pytest.mark.parametrize(
    "change",
    [
        lambda tensor: tensor.clone().index_fill_(0, torch.tensor([0]), torch.nan),
        lambda tensor: tensor.clone().index_fill_(0, torch.tensor([1]), -torch.inf),
        lambda tensor: (100 * tensor).to(torch.int8),
        lambda tensor: tensor > 0,
        lambda tensor: tensor.to(torch.float8_e4m3fn),
    ],
    ids=["NaN", "infinite", "int8", "bool", "float8"],
)
def test_values_of_no_trained_network_are_refused(tmp_path: Path, change: Callable[[Tensor], Tensor]) -> None:
    name = next(iter(generator(0.0625).state_dict()))
    save_weights(tmp_path / "w.safetensors", changed(name, change), ABOUT)
    for read in (load_weights, Completer, lambda path: with_weights(generator(0.0625), path)):
        with pytest.raises(UserError, match=rf"w\.safetensors: {name} has values that are not finite, or of type"):
            read(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    "mean_pixel", [[0.5, float("nan"), 0.5], [0.5, float("inf"), 0.5], [0.5, 127.5, 0.5], [0.5, 0.5], "gray"]
)
def test_a_mean_pixel_that_is_no_color_is_refused(tmp_path: Path, mean_pixel: object) -> None:
    save_weights(tmp_path / "w.safetensors", generator(0.0625).state_dict(), ABOUT | {"mean_pixel": mean_pixel})
    with pytest.raises(UserError, match=r"w\.safetensors: not the weights of a generator"):
        Completer(tmp_path / "w.safetensors")


def test_the_weights_of_another_network_are_named(weights: Path) -> None:
    with pytest.raises(UserError, match=r"weights\.safetensors: the weights of another network"):
        with_weights(generator(0.125), weights)
