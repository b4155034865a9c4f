"""The HTML page of a report, reports/index.html: a self-contained summary of one training and its evaluation."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from glcic.errors import UserError
from glcic.evaluation.definitions import ALL, MASK_SETS
from glcic.files import write_text
from glcic.report import pictures, tables
from glcic.report.alarms import PATIENCE, alarms
from glcic.report.charts import Chart, Estimate, interval_chart, legend_mark, line_chart
from glcic.report.formatting import comparisons, failures, interval, listed, method_title, number, percent
from glcic.report.published import MMAGIC, MMAGIC_COLUMNS, SAME, SOURCES, what_differs
from glcic.report.report_data import METHOD, Curve, ReportData, records
from glcic.report.slices import POOLED, SLICES
from glcic.report.templates import template

LARGEST = 1_000_000  # maximum size of the page, in bytes
OPEN = 2  # number of mask sets whose tables are expanded at first
SLICE_METRICS = ("l1_hole", "psnr", "ssim")  # metrics in the table of slices

# Charts of a training stage: title → name in the legend → column of the curve.
TRAINING: dict[str, Mapping[str, str]] = {
    "validation PSNR, dB": {"PSNR": "val_psnr"},
    "validation L1 over the hole, %": {"L1": "val_l1_hole"},
    "reconstruction loss": {"reconstruction": "g_loss_rec"},
    "discriminator losses": {"real": "d_loss_real", "completed": "d_loss_fake"},
    "adversarial loss of the generator": {"adversarial": "g_loss_adv"},
}
ACCURACY: dict[str, Mapping[str, str]] = {
    "share of validation images that the discriminator recognizes": {
        "real": "val_d_acc_real",
        "completed": "val_d_acc_fake",
    }
}
HEALTH: dict[str, Mapping[str, str]] = ACCURACY | {
    "norm of the gradient of each loss at the last layer": {
        "reconstruction": "val_grad_norm_rec",
        "adversarial, without α": "val_grad_norm_adv",
    },
    "α · adversarial gradient / reconstruction gradient": {"ratio": "val_grad_norm_ratio"},
    "share of saturated values (0 or 255) in the holes": {"saturated": "val_saturated"},
    "diversity of completions (1: that of the ground truth)": {"diversity": "val_diversity"},
}
SHARES = {next(iter(ACCURACY))}  # charts with the y axis from 0 to 1
GRADIENTS = {list(HEALTH)[1]}  # charts with a logarithmic y axis
PHASES = {
    "pretrain_generator": "the generator alone",
    "pretrain_discriminators": "the discriminators alone",
    "train_joint": "generator and discriminators together",
}


def write_page(path: Path, report_data: ReportData) -> None:
    """Write the page. Its pictures are reduced until the page has at most a million bytes.

    Raises:
        UserError: the text alone has more.
    """
    known = _context(report_data)
    for level in pictures.LEVELS:
        html = template("page.html").render(known | _pictures(report_data, level))
        if len(html.encode()) <= LARGEST:
            break
    else:
        raise UserError(f"{path}: its tables alone have more than {LARGEST:,} bytes; score fewer mask sets at a time")
    write_text(path, html)


def _context(report_data: ReportData) -> dict[str, Any]:
    """Everything that the template shows, except the pictures."""
    params, mask_sets = report_data.params, list(report_data.methods)
    stages = {stage: _charts(curve, TRAINING) for stage, curve in report_data.curves.items()}
    if alone := report_data.curves.get("pretrain_discriminators"):
        stages["pretrain_discriminators"] += _charts(alone, ACCURACY)
    joint = report_data.curves.get("train_joint", [])
    return {
        "c": report_data,
        "params": params,
        "preset": params.preset,
        "source": SOURCES[params.download.source],
        "synthetic": params.download.source == "synthetic",
        "metrics": {name: ALL[name] for name in report_data.metrics},
        "mask_sets": {name: MASK_SETS.get(name, "") for name in mask_sets},
        "open": mask_sets[:OPEN],
        "methods": [method_title(name) for name in dict.fromkeys(m for by in report_data.methods.values() for m in by)],
        "scores": {name: tables.scores(report_data, name) for name in mask_sets},
        "fewer": tables.on_fewer(report_data),
        "sliced_fewer": tables.on_fewer(report_data, set(report_data.slices["method"])),
        "compared": {name: comparisons(report_data.differences, name) for name in mask_sets},
        "differences": {name: tables.differences(report_data, name) for name in mask_sets},
        "joint": tables.joint_phase(report_data),
        "joint_metrics": [ALL[name] for name in tables.JOINT_METRICS],
        "published": tables.beside_published(report_data, params.preset),
        "published_columns": list(MMAGIC_COLUMNS.values()),
        "theirs": MMAGIC,
        "same": SAME,
        "differs": what_differs(params, report_data.images, report_data.people),
        "failures": failures(report_data.slices),
        "slice_charts": _slice_charts(report_data.slices),
        "slice_table": _slice_table(report_data.slices),
        "slice_metrics": [ALL[name] for name in SLICE_METRICS],
        "sliced": [method_title(str(name)) for name in dict.fromkeys(report_data.slices["method"])],
        "stages": stages,
        "phases": PHASES,
        "gallery_columns": [
            "input",
            *(name for name in ("pretrained", METHOD) if name in next(iter(report_data.methods.values()))),
            "truth",
        ],
        "health": _charts(joint, HEALTH),
        "measured": sum("val_diversity" in point for point in joint),
        "patience": PATIENCE,
        "alarms": {
            stage: alarms(curve, params.gan.loss, params.gan.real_label, stage)
            for stage, curve in report_data.curves.items()
        },
        "confidence": percent(params.report.confidence_level),
        "legend_mark": legend_mark,
        "listed": listed,
        "number": number,
    }


def _charts(curve: Curve, of: Mapping[str, Mapping[str, str]]) -> list[Chart]:
    """Draw a chart for each group of columns, if the curve has at least one of them."""
    charts = []
    for title, columns in of.items():
        series = {name: [(p["images_seen"], p[key]) for p in curve if key in p] for name, key in columns.items()}
        series = {name: points for name, points in series.items() if points}
        if series:
            charts.append(line_chart(title, series, (0, 1) if title in SHARES else None, log=title in GRADIENTS))
    return charts


def _slice_charts(slices: pd.DataFrame, metric: str = "l1_hole") -> list[Chart]:
    """Draw a chart for each slice with more than one bin."""
    table = slices[(slices["mask_set"] == POOLED) & (slices["metric"] == metric)].dropna(subset=["mean"])
    methods = list(dict.fromkeys(table["method"]))
    most = float(table[["mean", "high"]].max().max())  # one scale for all charts, to make them comparable
    charts = []
    for name, of_slice in table.groupby("slice", sort=False):
        if of_slice["bin"].nunique() < 2:
            continue
        bins = {}
        for bin_, of_bin in of_slice.groupby("bin", sort=False):
            by_method = {row.method: row for row in records(of_bin)}
            number_ = max(row.images for row in by_method.values())
            bins[str(bin_)] = (f"n = {number_:,}", [_estimate(by_method.get(method)) for method in methods])
        title = f"{ALL[metric].title} by {SLICES[str(name)]}"
        charts.append(interval_chart(title, [method_title(method) for method in methods], bins, most))
    return charts


def _estimate(row: Any) -> Estimate | None:
    if row is None:
        return None
    return Estimate(row.mean, *(None if pd.isna(end) else float(end) for end in (row.low, row.high)))


def _slice_table(slices: pd.DataFrame) -> list[tuple[str, str, int, list[tables.Cell]]]:
    """Rows for our method: slice, bin, number of images, and a cell for each metric shown."""
    table = slices[(slices["mask_set"] == POOLED) & (slices["method"] == METHOD)]
    rows = []
    for (name, bin_), of_bin in table.groupby(["slice", "bin"], sort=False):
        by_metric = {row.metric: row for row in records(of_bin)}
        cells = []
        for metric in SLICE_METRICS:
            row, digits = by_metric[metric], ALL[metric].digits
            cells.append(tables.Cell(number(row.mean, digits), interval(row.low, row.high, digits)))
        rows.append((SLICES[str(name)], str(bin_), int(by_metric[SLICE_METRICS[0]].images), cells))
    return rows


def _pictures(report_data: ReportData, level: pictures.Level) -> dict[str, Any]:
    """The figure and the galleries of all mask sets, or of the first two if images may not be redistributed."""
    few = report_data.params.download.source != "synthetic"
    names = [name for name in report_data.methods if name in report_data.gallery][: OPEN if few else None]
    picture = partial(pictures.gallery, level=level)
    return {
        "figure": pictures.figure(report_data.figure, level) if report_data.figure is not None else None,
        "gallery": {name: [(shown, picture(shown)) for shown in report_data.gallery[name]] for name in names},
    }
