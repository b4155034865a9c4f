"""The model card beside the weights: what the network is, what it is good for, and what it is not."""

from pathlib import Path
from typing import Any

from glcic.evaluation.definitions import ALL
from glcic.files import write_text
from glcic.params import Glcic, Input, Params, Reconstruction
from glcic.report.contents import METHOD, Contents
from glcic.report.published import MASK_SET, SOURCES
from glcic.report.templates import template
from glcic.report.words import comparisons, estimate, failures, number, percent

FILLS = {
    "mean": "the training split's mean pixel",
    "mid_grey": "mid-grey",
    "surroundings": "a smooth interpolation of the pixels around it",
}


def write_card(path: Path, contents: Contents) -> None:
    """Write the card, in Markdown."""
    params = contents.params
    text = template("card.md").render(
        c=contents,
        params=params,
        preset=params.preset,
        source=SOURCES[params.download.source],
        network=network(params),
        filled=filled(params.input),
        phases=phases(params),
        discriminator=params.networks.discriminator.model_dump(mode="json"),
        holes=params.holes.model_dump(mode="json"),
        metrics=[ALL[name] for name in contents.metrics],
        scores=scores(contents),
        compared=comparisons(contents.differences, MASK_SET) if MASK_SET in contents.methods else [],
        failures=failures(contents.slices),
        confidence=percent(params.report.confidence),
        number=number,
    )
    write_text(path, text)


def network(params: Params) -> str:
    """The completion network in a sentence."""
    section = params.networks.completion
    if not isinstance(section, Glcic):
        return f"a U-Net with self-attention of {section.channels} channels, which ends in tanh"
    width = "the paper's width" if section.width == 1 else f"{section.width:g} of the paper's width"
    norm = "no normalisation" if section.normalisation == "none" else f"{section.normalisation} norm"
    return (
        f"the paper's completion network (17 convolutions, four of them dilated) at {width}: {section.convolution} "
        f"convolutions, {norm}, {section.activation.replace('_', ' ')}, ending in {section.output}"
    )


def filled(section: Input) -> str:
    """What the network sees in a hole."""
    fill = FILLS.get(section.fill, "") if isinstance(section.fill, str) else f"the value {section.fill:g}"
    wider = f"; the mask that it sees is {section.context} pixels wider than the hole" if section.context else ""
    return f"{fill}{wider}"


def phases(params: Params) -> list[tuple[str, str]]:
    """The phases that were trained, and how."""
    alone, discriminators, joint = params.pretrain_generator, params.pretrain_discriminators, params.train_joint
    alpha = joint.adversarial
    weight = f"α {alpha.weight:g}" if alpha.weight is not None else f"α from the gradients' norms ({alpha.balance:g})"
    loss = f"{params.adversarial.loss.replace('_', ' ')}"
    found = {
        "pretrain_generator": (alone, f"{_reconstruction(alone.reconstruction)}; {_optimiser(alone.optimiser)}"),
        "pretrain_discriminators": (discriminators, f"{loss}; {_optimiser(discriminators.optimiser)}"),
        "train_joint": (
            joint,
            f"{_reconstruction(joint.reconstruction)}, + {weight} × {loss}; {_optimiser(joint.generator_optimiser)}",
        ),
    }
    return [
        (stage, f"{section.steps:,} steps of {section.batch} images; {how}; {section.schedule} rate")
        for stage, (section, how) in found.items()
        if section.steps
    ]


def _reconstruction(section: Reconstruction) -> str:
    terms = {section.error.upper(): section.weight, "Sobel edges": section.edges, "1 − SSIM": section.ssim}
    where = {"hole": "the hole", "dilated": "the widened hole", "whole": "the image"}[section.region]
    used = [name if weight == 1 else f"{weight:g} × {name}" for name, weight in terms.items() if weight]
    return f"{' + '.join(used)} over {where}"


def _optimiser(section: Any) -> str:
    return f"{section.name} {section.learning_rate:g}"


def scores(contents: Contents) -> list[tuple[str, list[str]]]:
    """Mask sets × metrics of the completion network: mean and interval."""
    rows = []
    for mask_set, methods in contents.methods.items():
        cells = []
        for metric, mean in methods[METHOD].items():
            digits, row = ALL[metric].digits, contents.interval(mask_set, METHOD, metric)
            cells.append(estimate(mean, row.get("low"), row.get("high"), digits))
        rows.append((mask_set, cells))
    return rows
