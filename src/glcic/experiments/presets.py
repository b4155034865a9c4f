"""Presets: overlays on the default parameters, applied to params.yaml without losing its comments."""

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from glcic.errors import UserError
from glcic.files import write_text
from glcic.params import Params, leaves, read_yaml, validate
from glcic.renamed import refuse_old_names, translated

KEPT = ("runtime", "tracking")  # sections that belong to the machine, not to the method
Change = tuple[str, Any, Any]  # dotted name, value before, value after

HEADER = ("preset", "S", "generator", "discriminator", "what it is")


def preset_names(folder: Path) -> list[str]:
    """Names of all presets in the folder."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def first_line(name: str, folder: Path) -> str:
    """Description of a preset: the first comment of its file."""
    return _overlay_path(name, folder).read_text().splitlines()[0].removeprefix("#").strip()


def preset_params(name: str, folder: Path) -> Params:
    """Parameters of a preset, with the default sections runtime and tracking."""
    tree = preset_tree(folder, overlays_of(name, folder), folder / "default.yaml", YAML(typ="safe"))
    return validate(tree, _overlay_path(name, folder))


def apply_preset(name: str, folder: Path, params: Path) -> list[Change]:
    """Rewrite `params` as the defaults overlaid with the preset, keeping its sections runtime and tracking.

    Returns:
        The changed parameters.

    Raises:
        UserError: there is no such preset, it names a parameter that does not exist, or the result is invalid;
            the file stays as it was.
    """
    return write_params(preset_tree(folder, overlays_of(name, folder), params), params)


def overlays_of(name: str, folder: Path, where: str = "") -> list[tuple[Path, Mapping[str, Any]]]:
    """The overlay of a preset with its file; empty for the preset `default`.

    Args:
        name: name of the preset.
        folder: folder of the presets.
        where: prefix of error messages: the place that names the preset, with a colon.
    """
    path = _overlay_path(name, folder, where)
    return [] if name == "default" else [(path, {"preset": name, **read_tree(YAML(typ="safe"), path)})]


def preset_tree(
    folder: Path, overlays: Iterable[tuple[Path, Mapping[str, Any]]], params: Path, yaml: YAML | None = None
) -> CommentedMap:
    """Apply overlays to the defaults in turn, keeping comments and the sections runtime and tracking of `params`.

    Args:
        folder: folder of the presets.
        overlays: each with the file it comes from, which errors name.
        params: parameter file whose sections runtime and tracking are kept.
        yaml: reader to use instead of `commented_yaml`; one that drops comments is three times as fast.

    Raises:
        UserError: an overlay names a parameter that does not exist.
    """
    yaml = yaml or commented_yaml()
    tree = read_tree(yaml, folder / "default.yaml")
    for path, overlay in overlays:
        refuse_old_names(overlay, path)
        _overlay(tree, overlay, path)
    before = read_tree(yaml, params) if params.exists() else {}
    _overlay(tree, translated({section: before[section] for section in KEPT if section in before}), params)
    return cast(CommentedMap, tree)


def write_params(tree: CommentedMap, params: Path) -> list[Change]:
    """Validate a parameter tree, write it, and return the changes.

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
    """Text of a parameter file, and the plain data read from it."""
    text = io.StringIO()
    commented_yaml().dump(tree, text)
    return text.getvalue(), YAML(typ="safe").load(text.getvalue())


def _overlay_path(name: str, folder: Path, where: str = "") -> Path:
    path = folder / f"{name}.yaml"
    if name not in preset_names(folder):
        known = ", ".join(preset_names(folder)) or "none here: run from the project's root"
        raise UserError(f"{where}preset {name}: no {path}; known presets: {known}")
    return path


def read_tree(yaml: YAML, path: Path) -> Any:
    """Read a parameter file as a tree, without validation.

    Raises:
        UserError: it is not YAML, or is empty.
    """
    tree = read_yaml(path, "restore it", yaml)
    if not isinstance(tree, dict):
        raise UserError(f"{path}: contains no parameters; restore it, or delete it if it is params.yaml")
    return tree


def _overlay(tree: Any, overlay: Any, path: Path, prefix: str = "") -> None:
    for key, value in overlay.items():
        # A section with a name (a network, the masks, an optimizer) has parameters that depend on the name.
        if key not in tree and "name" not in tree:
            raise UserError(f"{path}: {prefix}{key}: there is no such parameter; correct its name or remove it")
        old = tree.get(key)
        if isinstance(value, dict) and isinstance(old, dict) and "name" in value and value["name"] != old.get("name"):
            for gone in [k for k in old if k not in value]:
                del old[gone]
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            _overlay(tree[key], value, path, f"{prefix}{key}.")
        else:
            tree[key] = _laid_out(value)


def commented_yaml() -> YAML:
    """YAML reader and writer that preserves comments and layout."""
    yaml = YAML()
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(
        type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    return yaml


def _laid_out(value: Any) -> Any:
    """Lay out lists: [24, 32] on one line, and several sections on a line each."""
    if not isinstance(value, list):
        return value
    several = any(isinstance(item, Mapping) for item in value)
    sequence = CommentedSeq(_one_line(item) if several else item for item in value)
    if not several:
        sequence.fa.set_flow_style()
    return sequence


def _one_line(section: Any) -> Any:
    if isinstance(section, Mapping):
        section = CommentedMap((key, _laid_out(value)) for key, value in section.items())
        section.fa.set_flow_style()
    return section


def costs(params: Params) -> list[str]:
    """Number of parameters and billions of multiply-accumulates per image, for generator and discriminator."""
    import torch  # takes seconds, like the next imports

    from glcic.networks.cost import count_macs, count_parameters
    from glcic.networks.discriminators import build_discriminator
    from glcic.networks.generators import build_generator

    size = params.crop.image_size
    with torch.device("meta"):  # counted, not allocated
        image, mask, corner = torch.empty(1, 3, size, size), torch.empty(1, 1, size, size), torch.zeros(1, 2).long()
        G = build_generator(params.networks.generator, params.input)
        D = build_discriminator(params.networks.discriminator, size)
        seen = (G, (image, mask)), (D, (image, mask, corner))
        counted = [(count_parameters(network), count_macs(network, *inputs)) for network, inputs in seen]
    return [f"{parameters:,} / {macs / 1e9:.2f} GMAC" for parameters, macs in counted]


def preset_table(folder: Path) -> str:
    """Table of the presets in a folder, one line each."""
    if not preset_names(folder):
        raise UserError(f"{folder}: no presets found; run from the project's root")
    rows: list[tuple[str, ...]] = [HEADER]
    for name in preset_names(folder):
        params = preset_params(name, folder)
        rows.append((name, str(params.crop.image_size), *costs(params), first_line(name, folder)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER) - 1)]
    return "\n".join("  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[-1]]) for row in rows)
