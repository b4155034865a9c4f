"""The model card, stored with the weights: description, intended use, limits and scores of the generator."""

from pathlib import Path
from typing import Any

from glcic.evaluation.definitions import ALL
from glcic.files import write_text
from glcic.params import AnyKind, GlcicParams, Input, Params, Reconstruction, WeightsFile, kinds_of, shares_of
from glcic.report.formatting import comparisons, estimate, failures, number, percent
from glcic.report.published import MASK_SET, SOURCES
from glcic.report.report_data import METHOD, ReportData
from glcic.report.tables import on_fewer
from glcic.report.templates import template

FILLS = {
    "mean": "the training split's mean pixel",
    "mid_gray": "mid-gray",
    "surroundings": "a smooth interpolation of the pixels around it",
}


def write_card(path: Path, report_data: ReportData) -> None:
    """Write the model card as Markdown."""
    params = report_data.params
    text = template("card.md").render(
        c=report_data,
        params=params,
        preset=params.preset,
        source=SOURCES[params.download.source],
        network=network(params),
        filled=filled(params.input),
        phases=phases(params),
        discriminator=params.networks.discriminator.model_dump(mode="json"),
        masks=masks(params),
        metrics=[ALL[name] for name in report_data.metrics],
        scores=scores(report_data),
        compared=comparisons(report_data.differences, MASK_SET) if MASK_SET in report_data.methods else [],
        fewer=on_fewer(report_data),
        failures=failures(report_data.slices),
        confidence=percent(params.report.confidence_level),
        number=number,
    )
    write_text(path, text)


def masks(params: Params) -> str:
    """Describe the masks of the training in a phrase."""
    kinds = kinds_of(params.masks)
    shares = shares_of(kinds)
    return "; ".join(
        (f"{100 * share:.3g} % " if len(kinds) > 1 else "") + _kind(kind)
        for kind, share in zip(kinds, shares, strict=True)
    )


def _kind(kind: AnyKind) -> str:
    bounds = kind.model_dump(mode="json", exclude={"name", "weight", "folder"})
    listed = ", ".join(f"{name} {value}" for name, value in bounds.items())
    return f"`{kind.name}`" + (f" ({listed})" if listed else "")


def network(params: Params) -> str:
    """Describe the generator in a phrase."""
    section = params.networks.generator
    if not isinstance(section, GlcicParams):
        return f"a U-Net with self-attention, {section.channels} channels and a final tanh"
    width = (
        "the paper's width"
        if section.width_multiplier == 1
        else f"{section.width_multiplier:g} times the paper's width"
    )
    norm = "no normalization" if section.norm == "none" else f"{section.norm} norm"
    return (
        f"the paper's generator (17 convolutions, four of them dilated) at {width}: {section.convolution} "
        f"convolutions, {norm}, {section.activation.replace('_', ' ')}, and a final {section.output_activation}"
    )


def filled(section: Input) -> str:
    """Describe what the network sees in a hole."""
    fill = FILLS.get(section.fill, "") if isinstance(section.fill, str) else f"the value {section.fill:g}"
    wider = (
        f"; the network's mask extends {section.mask_dilation} pixels beyond the hole" if section.mask_dilation else ""
    )
    return f"{fill}{wider}"


def phases(params: Params) -> list[tuple[str, str]]:
    """List the trained phases, each with a description of its training."""
    alone, discriminators, joint = params.pretrain_generator, params.pretrain_discriminators, params.train_joint
    fixed, ratio = joint.adv_weight, joint.adaptive_ratio
    weight = f"α {fixed:g}" if fixed is not None else f"α from the norms of the gradients (ratio {ratio:g})"
    loss = params.gan.loss
    found = {
        "pretrain_generator": (
            alone,
            f"{_reconstruction(alone.reconstruction)}; {_optimizer(alone.optimizer)}{_start(alone.init)}",
        ),
        "pretrain_discriminators": (discriminators, f"{loss}; {_optimizer(discriminators.optimizer)}"),
        "train_joint": (
            joint,
            f"{_reconstruction(joint.reconstruction)}, + {weight} × {loss}; {_optimizer(joint.optimizer_g)}",
        ),
    }
    trained = [
        (stage, f"{section.steps:,} steps of {section.batch_size} images; {how}; {section.lr_schedule} learning rate")
        for stage, (section, how) in found.items()
        if section.steps
    ]
    if alone.init is not None and alone.steps == 0:
        return [("pretrain_generator", f"not trained here{_start(alone.init)}"), *trained]
    return trained


def _reconstruction(section: Reconstruction) -> str:
    terms = {
        section.pixel_loss.upper(): section.pixel_weight,
        "Sobel edges": section.edge_weight,
        "1 − SSIM": section.ssim_weight,
    }
    where = {"hole": "the hole", "dilated": "the widened hole", "whole": "the image"}[section.region]
    used = [name if weight == 1 else f"{weight:g} × {name}" for name, weight in terms.items() if weight]
    return f"{' + '.join(used)} over {where}"


def _start(init: WeightsFile | None) -> str:
    return f"; starts from the weights with SHA-256 `{init.sha256}`" if init else ""


def _optimizer(section: Any) -> str:
    return f"{section.name} {section.lr:g}"


def scores(report_data: ReportData) -> list[tuple[str, list[str]]]:
    """Format the scores of the final generator: a row per mask set, with mean and interval of each metric."""
    rows = []
    for mask_set, methods in report_data.methods.items():
        cells = []
        for metric, mean in methods[METHOD].items():
            digits, row = ALL[metric].digits, report_data.interval(mask_set, METHOD, metric)
            cells.append(estimate(mean, row.get("low"), row.get("high"), digits))
        rows.append((mask_set, cells))
    return rows
