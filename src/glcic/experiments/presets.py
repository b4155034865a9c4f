"""Presets: overlays on the default parameters, applied to params.yaml with its comments kept."""

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from glcic.errors import UserError
from glcic.files import write_text
from glcic.params import Params, leaves, read_yaml, validate

KEPT = ("runtime", "tracking")  # they belong to the machine, not to the method
Change = tuple[str, Any, Any]  # dotted name, value before, value after

HEADER = ("preset", "S", "completion network", "discriminator", "what it is")


def preset_names(folder: Path) -> list[str]:
    """Names of all presets in the folder."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def first_line(name: str, folder: Path) -> str:
    """What a preset is, from the first comment of its file."""
    return _overlay_path(name, folder).read_text().splitlines()[0].removeprefix("#").strip()


def preset_params(name: str, folder: Path) -> Params:
    """The parameters of a preset, with the defaults' runtime and tracking."""
    tree = preset_tree(folder, overlays_of(name, folder), folder / "default.yaml", YAML(typ="safe"))
    return validate(tree, _overlay_path(name, folder))


def apply_preset(name: str, folder: Path, params: Path) -> list[Change]:
    """Write `params` anew: the defaults, overlaid with the preset, with its present runtime and tracking.

    Returns:
        What changed, parameter by parameter.

    Raises:
        UserError: there is no such preset, it names a parameter that does not exist, or the result is invalid;
            the file stays as it was.
    """
    return write_params(preset_tree(folder, overlays_of(name, folder), params), params)


def overlays_of(name: str, folder: Path, where: str = "") -> list[tuple[Path, Mapping[str, Any]]]:
    """What a preset lays over the defaults, with its file; nothing for the defaults themselves.

    Args:
        where: put before the message of an error: the place that names the preset, with a colon.
    """
    path = _overlay_path(name, folder, where)
    return [] if name == "default" else [(path, {"preset": name, **read_tree(YAML(typ="safe"), path)})]


def preset_tree(
    folder: Path, overlays: Iterable[tuple[Path, Mapping[str, Any]]], params: Path, yaml: YAML | None = None
) -> CommentedMap:
    """The defaults with overlays laid over them in turn, comments kept, and runtime and tracking of `params`.

    Args:
        overlays: each with the file it comes from, which is named in errors.
        yaml: another reader than `commented_yaml`, which takes three times as long as one that forgets comments.

    Raises:
        UserError: an overlay names a parameter that does not exist.
    """
    yaml = yaml or commented_yaml()
    tree = read_tree(yaml, folder / "default.yaml")
    for path, overlay in overlays:
        _overlay(tree, overlay, path)
    before = read_tree(yaml, params) if params.exists() else {}
    _overlay(tree, {section: before[section] for section in KEPT if section in before}, params)
    return cast(CommentedMap, tree)


def write_params(tree: CommentedMap, params: Path) -> list[Change]:
    """Validate a parameter tree and write it; returns what changed.

    Raises:
        UserError: it is invalid; the file stays as it was.
    """
    if not params.parent.is_dir():
        raise UserError(f"{params}: the folder {params.parent} does not exist; make it first")
    before = read_tree(commented_yaml(), params) if params.exists() else {}
    text, plain = dumped(tree)
    validate(plain, params)
    write_text(params, text)
    old, new = ({".".join(keys): value for keys, value in leaves(tree)} for tree in (before, plain))
    names = dict.fromkeys([*new, *old])
    return [(n, old.get(n), new.get(n)) for n in names if old.get(n) != new.get(n)]


def dumped(tree: CommentedMap) -> tuple[str, Any]:
    """The text of a parameter file, and the plain data that are read from it."""
    text = io.StringIO()
    commented_yaml().dump(tree, text)
    return text.getvalue(), YAML(typ="safe").load(text.getvalue())


def _overlay_path(name: str, folder: Path, where: str = "") -> Path:
    path = folder / f"{name}.yaml"
    if name not in preset_names(folder):
        known = ", ".join(preset_names(folder)) or "none here: run from the project's root"
        raise UserError(f"{where}preset {name}: no {path}; there are {known}")
    return path


def read_tree(yaml: YAML, path: Path) -> Any:
    """A parameter file as a tree, not validated.

    Raises:
        UserError: it is no YAML, or empty.
    """
    tree = read_yaml(path, "restore it", yaml)
    if not isinstance(tree, dict):
        raise UserError(f"{path}: no parameters in it; restore it, or delete it if it is params.yaml")
    return tree


def _overlay(tree: Any, overlay: Any, path: Path, prefix: str = "") -> None:
    for key, value in overlay.items():
        # What has a name (a network, the holes, an optimiser) has parameters that come and go with it.
        if key not in tree and "name" not in tree:
            raise UserError(f"{path}: {prefix}{key}: there is no such parameter; correct its name or remove it")
        old = tree.get(key)
        if isinstance(value, dict) and isinstance(old, dict) and "name" in value and value["name"] != old.get("name"):
            for gone in [k for k in old if k not in value]:
                del old[gone]
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            _overlay(tree[key], value, path, f"{prefix}{key}.")
        else:
            tree[key] = _flow(value) if isinstance(value, list) else value


def commented_yaml() -> YAML:
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


def costs(params: Params) -> list[str]:
    """Parameters, and billions of multiply-accumulates for one image, of the two networks."""
    import torch  # takes seconds, like what follows

    from glcic.networks.cost import count_macs, count_parameters
    from glcic.networks.discriminators import discriminator
    from glcic.networks.generators import completion_network

    size = params.crop.size
    with torch.device("meta"):  # counted, not allocated
        image, mask, corner = torch.empty(1, 3, size, size), torch.empty(1, 1, size, size), torch.zeros(1, 2).long()
        C = completion_network(params.networks.completion, params.input)
        D = discriminator(params.networks.discriminator, size)
        seen = (C, (image, mask)), (D, (image, mask, corner))
        counted = [(count_parameters(network), count_macs(network, *inputs)) for network, inputs in seen]
    return [f"{parameters:,} / {macs / 1e9:.2f} GMAC" for parameters, macs in counted]


def preset_table(folder: Path) -> str:
    """One line for each preset of a folder."""
    if not preset_names(folder):
        raise UserError(f"{folder}: no presets there; run from the project's root")
    rows: list[tuple[str, ...]] = [HEADER]
    for name in preset_names(folder):
        params = preset_params(name, folder)
        rows.append((name, str(params.crop.size), *costs(params), first_line(name, folder)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER) - 1)]
    return "\n".join("  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[-1]]) for row in rows)
