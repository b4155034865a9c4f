"""Names of version 0.1, to suggest the new names of parameters and to read old weights files."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from glcic.errors import UserError

_TRAINING = {
    "batch": "batch_size",
    "accumulate": "grad_accum_steps",
    "clip": "max_grad_norm",
    "schedule": "lr_schedule",
    "optimiser": "optimizer",
    "optimizer.learning_rate": "optimizer.lr",
}
_GENERATOR = {
    **_TRAINING,
    "ema": "ema_decay",
    "reconstruction.error": "reconstruction.pixel_loss",
    "reconstruction.weight": "reconstruction.pixel_weight",
    "reconstruction.edges": "reconstruction.edge_weight",
    "reconstruction.ssim": "reconstruction.ssim_weight",
}
_SECTIONS: dict[str, Mapping[str, str]] = {
    "runtime": {
        "threads": "num_threads",
        "workers": "num_workers",
        "celeba": "celeba_dir",
        "images": "image_folder",
    },
    "download": {
        "celeba.partial": "celeba.allow_subset",
        "images": "image_folder",
        "image_folder.ratios": "image_folder.split_ratios",
        "image_folder.partition": "image_folder.split_file",
    },
    "crop": {"size": "image_size", "square": "center_crop", "max_refused": "max_skipped_fraction"},
    "input": {"range": "pixel_range", "context": "mask_dilation"},
    "networks": {
        "completion": "generator",
        "generator.width": "generator.width_multiplier",
        "generator.normalisation": "generator.norm",
        "generator.output": "generator.output_activation",
        "discriminator.width": "discriminator.width_multiplier",
        "discriminator.global_convolutions": "discriminator.global_layers",
        "discriminator.local_convolutions": "discriminator.local_layers",
        "discriminator.labels": "discriminator.head",
    },
    "masks": {
        "sides": "size_range",
        "border": "margin",
        "number": "num_boxes",
        "side": "size",
        "ratio": "area_ratio",
    },
    "gan": {"r1": "r1_gamma"},
    "validation": {"images": "num_images"},
    "pretrain_generator": _GENERATOR,
    "pretrain_discriminators": _TRAINING,
    "train_joint": {
        **_GENERATOR,
        "adversarial.weight": "adv_weight",
        "adversarial.balance": "adaptive_ratio",
        "adversarial": "adv_weight or train_joint.adaptive_ratio",
        "skip_above": "d_skip_accuracy",
        "generator_optimiser": "optimizer_g",
        "discriminator_optimiser": "optimizer_d",
        "optimizer_g.learning_rate": "optimizer_g.lr",
        "optimizer_d.learning_rate": "optimizer_d.lr",
    },
    "evaluate": {"masks": "mask_folder", "extra": "extra_metrics", "batch": "batch_size"},
    "report": {"resamples": "bootstrap_samples", "confidence": "confidence_level"},
}
_FLAT = "train_joint.adversarial"  # section whose parameters moved to train_joint
# Old dotted name → new one. If the section was renamed, too, the old name has the section's new name.
PARAMETERS = {
    "holes": "masks",
    "adversarial": "gan",
    **{f"{section}.{old}": f"{section}.{new}" for section, names in _SECTIONS.items() for old, new in names.items()},
}
# New dotted name → old value → new value.
VALUES: dict[str, Mapping[str, Any]] = {
    "download.source": {"images": "image_folder"},
    "input.pixel_range": {"unit": [0, 1], "symmetric": [-1, 1]},
    "input.fill": {"mid_grey": "mid_gray"},
    "networks.discriminator.name": {"context": "global_local"},
    "gan.loss": {"least_squares": "lsgan"},
}


def refuse_old_names(tree: Any, path: Path) -> None:
    """Refuse a parameter tree with names of version 0.1.

    Args:
        tree: parsed parameters, or an overlay on them.
        path: file that they come from, which the error message names.

    Raises:
        UserError: it has such names; the message has all of them, with the new ones.
    """
    if isinstance(tree, Mapping) and (names := dict(_renames(tree))):
        listed = ", ".join(f"{old} to {new}" for old, new in names.items())
        raise UserError(f"{path}: has names of version 0.1, which CHANGELOG.md explains; rename {listed}")


def _renames(tree: Mapping[str, Any], above: str = "", new_above: str = "") -> Iterator[tuple[str, str]]:
    """Old and new dotted name of every value whose name, or that of a section around it, has changed."""
    for key, value in tree.items():
        old, name = f"{above}{key}", f"{new_above}{key}"
        if isinstance(value, Mapping) and value:
            yield from _renames(value, f"{old}.", f"{PARAMETERS.get(name, name) if name != _FLAT else name}.")
        elif (new := PARAMETERS.get(name, name)) != old:
            yield old, new


def translated(tree: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Translate a parameter tree of version 0.1 to the current names. Current names are kept.

    Args:
        above: dotted new name of the section that `tree` holds; empty for the whole tree.
    """
    found: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{above}.{key}" if above else key
        if name == _FLAT:  # the only section that was dissolved
            found |= {PARAMETERS[f"{name}.{old}"].rpartition(".")[2]: weight for old, weight in value.items()}
            continue
        new = PARAMETERS.get(name, name)
        if isinstance(value, Mapping):
            value = translated(value, new)
        elif isinstance(value, str):
            value = VALUES.get(new, {}).get(value, value)
        found[new.rpartition(".")[2]] = value
    return found


def translated_weights(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Rename weights of version 0.1 to the current names of the layers."""
    names = {".normalisation.": ".norm.", "global_label.": "global_head.", "local_label.": "local_head."}
    found = {}
    for name, tensor in tensors.items():
        for old, new in names.items():
            name = name.replace(old, new)
        found[name] = tensor
    return found


def translated_about(about: Mapping[str, Any]) -> dict[str, Any]:
    """Translate the metadata of a weights file of version 0.1 to the current names."""
    if "completion" not in about:
        return dict(about)
    networks = {name: about[name] for name in ("completion", "discriminator") if name in about}
    others = {name: value for name, value in about.items() if name not in ("completion", "discriminator", "size")}
    return {
        **others,
        "image_size": about["size"],
        "input": translated(about["input"], "input"),
        **translated(networks, "networks"),
    }
