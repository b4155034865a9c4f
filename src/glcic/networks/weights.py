"""Weights files: safetensors with the parameters of their network, and a digest that readers check."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from safetensors import SafetensorError, deserialize

from glcic.errors import UserError
from glcic.files import atomic
from glcic.renamed import translated_about, translated_weights

if TYPE_CHECKING:  # importing torch takes seconds, and reading the metadata does not need it
    from torch import Tensor, nn

Network = TypeVar("Network", bound="nn.Module")

ABOUT, DIGEST = "glcic", "sha256"  # keys: of the file's metadata, and of the digest in it
BEFORE_DIGESTS = {"completion", "discriminator", "generator", "image_size", "input", "mean_pixel", "size", "step"}


def save_weights(path: Path, weights: Mapping[str, "Tensor"], about: Mapping[str, Any]) -> None:
    """Write weights with a digest of all that the file holds; equal weights give equal bytes.

    Args:
        path: file to write.
        weights: state dict, tensors of any shape by name.
        about: what is needed to use the weights. It is stored as one sorted JSON string, because with several metadata
            keys the bytes of a safetensors file vary.
    """
    from safetensors.torch import save

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(weights.items())}
    _, digest = _parsed(save(tensors, {ABOUT: json.dumps(about)}))
    data = save(tensors, {ABOUT: json.dumps({**about, DIGEST: digest}, sort_keys=True)})
    with atomic(path) as temporary:  # not save_file, which hides a full disk behind an error of its own
        temporary.write_bytes(data)


def read_about(path: Path) -> tuple[dict[str, Any], dict[str, list[int]]]:
    """Read the metadata of a weights file and the shapes of its tensors by name, without torch.

    Files of version 0.1 are read as well.

    Raises:
        UserError: the file is missing, damaged or no weights file of this project.
    """
    about, header, _ = _read(path)
    return translated_about(about), {name: entry["shape"] for name, entry in header.items()}


def load_weights(path: Path) -> tuple[dict[str, "Tensor"], dict[str, Any]]:
    """Load a weights file: its state dict on the CPU, by the layers' names of this version, and its metadata.

    Raises:
        UserError: see `read_about`; or a tensor has values that no trained network has, as NaN or 8-bit integers.
    """
    from safetensors.torch import load

    about, _, data = _read(path)
    weights = load(data)
    for name, tensor in weights.items():
        if not _is_usable(tensor):
            raise UserError(
                f"{path}: {name} has values that are not finite, or of type {tensor.dtype}; train again, or name "
                "another weights file"
            )
    return translated_weights(weights), translated_about(about)


def with_weights(network: Network, path: Path) -> Network:
    """Load the weights of a file into a network and return it.

    Raises:
        UserError: see `load_weights`; or the weights are those of another network.
    """
    try:
        network.load_state_dict(load_weights(path)[0])
    except RuntimeError:  # names or shapes; torch lists them all
        raise UserError(f"{path}: the weights of another network; run `dvc repro`, or name another file") from None
    return network


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """Read and check a weights file: its metadata, as written, the header's entry of each tensor, and all bytes."""
    if not path.exists():
        raise UserError(f"{path}: no such file; train first (`dvc repro`), or name another weights file")
    data = path.read_bytes()
    try:
        deserialize(data)
        (about, header), digest = _parsed(data)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is not a weights file of this project ({error}); run `dvc repro`, or name another"
        ) from None
    written = about.pop(DIGEST, None)
    # Older files have no digest; but one that is missing beside an unknown name has a damaged name itself.
    if written != digest and (written is not None or about.keys() - BEFORE_DIGESTS):
        raise UserError(
            f"{path}: damaged: its SHA-256 does not match the one stored in it; restore it, as with "
            "`rm` and `dvc checkout`, from a cache that is intact, or train again (`dvc repro --force`)"
        )
    return about, header, data


def _parsed(data: bytes) -> tuple[tuple[dict[str, Any], dict[str, Any]], str]:
    """Metadata and header's entries of a safetensors file, and the SHA-256 of both and of all tensors."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    about = dict(json.loads(header.pop("__metadata__")[ABOUT]))
    described = [{name: value for name, value in about.items() if name != DIGEST}, header]
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    digest.update(data[8 + length :])
    return (about, header), digest.hexdigest()


def _is_usable(tensor: "Tensor") -> bool:
    """Whether values are finite and of a type that networks have; whole numbers only count the batches of a norm."""
    import torch

    if tensor.dtype == torch.int64:
        return True
    return tensor.dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64) and bool(
        tensor.isfinite().all()
    )
