"""Weights files: safetensors that know what network they are of."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from safetensors import SafetensorError, safe_open

from glcic.errors import UserError
from glcic.files import atomic

if TYPE_CHECKING:  # torch takes seconds, and whoever only asks what a file holds does without
    from torch import Tensor, nn

Network = TypeVar("Network", bound="nn.Module")


def save_weights(path: Path, weights: Mapping[str, "Tensor"], about: Mapping[str, Any]) -> None:
    """Write weights, byte-stable.

    Args:
        about: what it takes to use them; stored as one sorted JSON string, since with several metadata keys
            the bytes of a safetensors file vary.
    """
    from safetensors.torch import save

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(weights.items())}
    with atomic(path) as temporary:  # save, not save_file: that one hides a full disk behind an error of its own
        temporary.write_bytes(save(tensors, {"glcic": json.dumps(about, sort_keys=True)}))


def read_about(path: Path) -> tuple[dict[str, Any], dict[str, list[int]]]:
    """What was stored about weights, and their shapes by name; the weights themselves are not loaded.

    Raises:
        UserError: the file is missing or no weights file of this project.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file; train first (`dvc repro`), or name another weights file")
    try:
        with safe_open(path, framework="np") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118  # no mapping
            return json.loads((file.metadata() or {})["glcic"]), shapes
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise UserError(
            f"{path} is not a weights file of this project ({error}); run `dvc repro`, or name another"
        ) from None


def load_weights(path: Path) -> tuple[dict[str, "Tensor"], dict[str, Any]]:
    """Weights on the CPU and what was stored about them.

    Raises:
        UserError: as `read_about`.
    """
    from safetensors.torch import load_file

    about, _ = read_about(path)
    return load_file(path), about


def with_weights(network: Network, path: Path) -> Network:
    """The network, with the weights of a file.

    Raises:
        UserError: as `load_weights`.
    """
    network.load_state_dict(load_weights(path)[0])
    return network
