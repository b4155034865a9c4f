"""Presets: overlays on the default parameters, applied to params.yaml with its comments kept."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.comments import CommentedSeq

from glcic.errors import UserError
from glcic.files import atomic
from glcic.params import validate

KEPT = ("runtime", "tracking")  # they belong to the machine, not to the method
Change = tuple[str, Any, Any]  # dotted name, value before, value after


def preset_names(folder: Path) -> list[str]:
    """Names of all presets in the folder."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def apply_preset(name: str, folder: Path, params: Path) -> list[Change]:
    """Write `params` anew: the defaults, overlaid with the preset, with its present runtime and tracking.

    Returns:
        What changed, parameter by parameter.

    Raises:
        UserError: there is no such preset, it names a parameter that does not exist, or the result is invalid;
            the file stays as it was.
    """
    overlay_path = folder / f"{name}.yaml"
    if not overlay_path.exists():
        known = ", ".join(preset_names(folder)) or "none here: run from the project's root"
        raise UserError(f"preset {name}: no {overlay_path}; there are {known}")
    yaml = _commented_yaml()
    tree = _read(yaml, folder / "default.yaml")
    overlay = _read(YAML(typ="safe"), overlay_path)
    before = _read(yaml, params) if params.exists() else {}
    if name != "default":
        _overlay(tree, {"preset": name, **overlay}, overlay_path)
    _overlay(tree, {section: before[section] for section in KEPT if section in before}, params)
    text = io.StringIO()
    yaml.dump(tree, text)
    plain = YAML(typ="safe").load(text.getvalue())
    validate(plain, params)
    with atomic(params) as temporary:
        temporary.write_text(text.getvalue())
    old, new = dict(_leaves(before)), dict(_leaves(plain))
    names = dict.fromkeys([*new, *old])
    return [(n, old.get(n), new.get(n)) for n in names if old.get(n) != new.get(n)]


def _read(yaml: YAML, path: Path) -> Any:
    try:
        tree = yaml.load(path)
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        raise UserError(f"{path}: no parameters in it; restore it, or delete it if it is params.yaml")
    return tree


def _overlay(tree: Any, overlay: Any, path: Path, prefix: str = "") -> None:
    for key, value in overlay.items():
        if key not in tree:
            # an optimiser's own parameters come and go with its name
            if "optimiser" not in prefix:
                raise UserError(f"{path}: {prefix}{key}: there is no such parameter; correct its name or remove it")
        elif isinstance(value, dict) and "name" in value and value["name"] != tree[key].get("name"):
            for gone in [k for k in tree[key] if k not in value]:
                del tree[key][gone]
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            _overlay(tree[key], value, path, f"{prefix}{key}.")
        else:
            tree[key] = _flow(value) if isinstance(value, list) else value


def _commented_yaml() -> YAML:
    """A reader and writer that keeps comments and the look of the file."""
    yaml = YAML()
    yaml.width = 4096
    yaml.representer.add_representer(
        type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    return yaml


def _flow(values: list[Any]) -> CommentedSeq:
    sequence = CommentedSeq(values)
    sequence.fa.set_flow_style()  # [24, 32] on one line
    return sequence


def _leaves(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
