"""Weights files: safetensors with the parameters of their network."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from safetensors import SafetensorError, safe_open

from glcic.errors import UserError
from glcic.files import atomic
from glcic.renamed import translated_about, translated_weights

if TYPE_CHECKING:  # importing torch takes seconds, and reading the metadata does not need it
    from torch import Tensor, nn

Network = TypeVar("Network", bound="nn.Module")


def save_weights(path: Path, weights: Mapping[str, "Tensor"], about: Mapping[str, Any]) -> None:
    """Write weights; equal weights give equal bytes.

    Args:
        path: file to write.
        weights: state dict, tensors of any shape by name.
        about: what is needed to use the weights. It is stored as one sorted JSON string, because with several metadata
            keys the bytes of a safetensors file vary.
    """
    from safetensors.torch import save

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(weights.items())}
    with atomic(path) as temporary:  # not save_file, which hides a full disk behind an error of its own
        temporary.write_bytes(save(tensors, {"glcic": json.dumps(about, sort_keys=True)}))


def read_about(path: Path) -> tuple[dict[str, Any], dict[str, list[int]]]:
    """Read the metadata of a weights file and the shapes of its tensors by name, without loading the tensors.

    Files of version 0.1 are read as well.

    Raises:
        UserError: the file is missing or no weights file of this project.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file; train first (`dvc repro`), or name another weights file")
    try:
        with safe_open(path, framework="np") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118  # no mapping
            return translated_about(json.loads((file.metadata() or {})["glcic"])), shapes
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise UserError(
            f"{path} is not a weights file of this project ({error}); run `dvc repro`, or name another"
        ) from None


def load_weights(path: Path) -> tuple[dict[str, "Tensor"], dict[str, Any]]:
    """Load a weights file: its state dict on the CPU, by the layers' names of this version, and its metadata.

    Raises:
        UserError: see `read_about`.
    """
    from safetensors.torch import load_file

    about, _ = read_about(path)
    return translated_weights(load_file(path)), about


def with_weights(network: Network, path: Path) -> Network:
    """Load the weights of a file into a network and return it.

    Raises:
        UserError: see `read_about`.
    """
    network.load_state_dict(load_weights(path)[0])
    return network
