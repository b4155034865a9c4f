"""Weights files: safetensors that know what network they are of."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from glcic.errors import UserError
from glcic.files import atomic

Network = TypeVar("Network", bound=nn.Module)


def save_weights(path: Path, weights: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write weights, byte-stable.

    Args:
        about: what it takes to use them; stored as one sorted JSON string, since with several metadata keys
            the bytes of a safetensors file vary.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(weights.items())}
    with atomic(path) as temporary:  # save, not save_file: that one hides a full disk behind an error of its own
        temporary.write_bytes(save(tensors, {"glcic": json.dumps(about, sort_keys=True)}))


def load_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights on the CPU and what was stored about them.

    Raises:
        UserError: the file is missing or no weights file of this project.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file; train first (`dvc repro`), or name another weights file")
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})["glcic"])
        return load_file(path), about
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise UserError(
            f"{path} is not a weights file of this project ({error}); run `dvc repro`, or name another"
        ) from None


def with_weights(network: Network, path: Path) -> Network:
    """The network, with the weights of a file.

    Raises:
        UserError: as `load_weights`.
    """
    network.load_state_dict(load_weights(path)[0])
    return network
