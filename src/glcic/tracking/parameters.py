"""Parameters as MLflow shows them: flat, as text, without private paths."""

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from glcic.params import leaves

_UNPRINTED = ("runtime", "tracking")  # sections that never change a result
_PRIVATE = ("celeba_dir", "image_folder")  # in runtime: the user's image folders


def fingerprint(params: Mapping[str, Any]) -> str:
    """SHA-256, in hex, of the parameters that determine a result: all but `runtime` and `tracking`.

    >>> fingerprint({"seed": 1, "runtime": {"num_threads": 2}}) == fingerprint({"seed": 1})
    True
    """
    canonical = json.dumps(_method(params), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def flat(params: Mapping[str, Any]) -> dict[str, str]:
    """Parameters that determine a result, as MLflow parameters: `train_joint.adv_weight` → "0.0004"."""
    return {".".join(keys): _as_text(value) for keys, value in leaves(_method(public(params)))}


def runtime_tags(params: Mapping[str, Any]) -> dict[str, str]:
    """The section `runtime` as tags, since MLflow parameters cannot change between two stages of a run."""
    runtime = {"runtime": public(params).get("runtime", {})}
    return {".".join(keys): _as_text(value) for keys, value in leaves(runtime) if value is not None}


def public(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters that may be published: without private paths; of other absolute paths only the last part."""
    seen: dict[str, Any] = _without_folders(params)
    if "runtime" in seen:
        seen["runtime"].update({key: None for key in _PRIVATE if key in seen["runtime"]})
    return seen


def as_yaml(tree: Mapping[str, Any]) -> str:
    """Text of a params.yaml file."""
    from ruamel.yaml import YAML

    text = io.StringIO()
    YAML().dump(tree, text)
    return text.getvalue()


def _method(params: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in params.items() if key not in _UNPRINTED}


def _without_folders(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_folders(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_folders(item) for item in value]
    if isinstance(value, str):
        if value.startswith(("file:", "~")) or PurePosixPath(value).is_absolute():
            return PurePosixPath(value).name
        if PureWindowsPath(value).is_absolute():
            return PureWindowsPath(value).name
    return value


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
