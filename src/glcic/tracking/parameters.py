"""Parameters as MLflow shows them: flat, as text, and without anybody's private folders."""

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from glcic.params import leaves

_UNPRINTED = ("runtime", "tracking")  # the sections that never change a result
_PRIVATE = ("celeba", "images")  # in runtime: where this user keeps pictures


def fingerprint(params: Mapping[str, Any]) -> str:
    """Hash what decides a result: the parameters without `runtime` and `tracking`, as SHA-256 in hex.

    >>> fingerprint({"seed": 1, "runtime": {"threads": 2}}) == fingerprint({"seed": 1})
    True
    """
    canonical = json.dumps(_method(params), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def flat(params: Mapping[str, Any]) -> dict[str, str]:
    """What decides a result, as MLflow's parameters: `train_joint.adversarial.weight` → "0.0004"."""
    return {".".join(keys): _as_text(value) for keys, value in leaves(_method(public(params)))}


def runtime_tags(params: Mapping[str, Any]) -> dict[str, str]:
    """`runtime` as tags, since it may change between two stages of a row and MLflow's parameters may not."""
    runtime = {"runtime": public(params).get("runtime", {})}
    return {".".join(keys): _as_text(value) for keys, value in leaves(runtime) if value is not None}


def public(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as others may see them: no private path, of other absolute paths only the last part."""
    seen: dict[str, Any] = _without_folders(params)
    if "runtime" in seen:
        seen["runtime"].update({key: None for key in _PRIVATE if key in seen["runtime"]})
    return seen


def as_yaml(tree: Mapping[str, Any]) -> str:
    """The text of a params.yaml."""
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
        if value.startswith("file:") or PurePosixPath(value).is_absolute():
            return PurePosixPath(value).name
        if PureWindowsPath(value).is_absolute():
            return PureWindowsPath(value).name
    return value


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
