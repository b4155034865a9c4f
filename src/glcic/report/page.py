"""reports/index.html: everything that is known of one training, on one page that needs nothing but itself."""

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
from glcic.report.contents import METHOD, Contents, Curve, records
from glcic.report.published import MMAGIC, MMAGIC_COLUMNS, SAME, SOURCES, what_differs
from glcic.report.slices import POOLED, SLICES
from glcic.report.templates import template
from glcic.report.words import comparisons, failures, interval, listed, method_title, number, percent

LARGEST = 1_000_000  # bytes of the page
OPEN = 2  # mask sets whose tables are not folded
SLICE_METRICS = ("l1_hole", "psnr", "ssim")  # metrics in the table of slices

# Charts of a stage's curve: title, and columns by their names in the legend.
TRAINING: dict[str, Mapping[str, str]] = {
    "validation PSNR, dB": {"PSNR": "val_psnr"},
    "validation L1 over the hole, %": {"L1": "val_l1_hole"},
    "reconstruction loss": {"reconstruction": "reconstruction"},
    "losses of the discriminator": {"real": "discriminator_real", "completed": "discriminator_completed"},
    "adversarial loss of the completion network": {"adversarial": "adversarial"},
}
ACCURACY: dict[str, Mapping[str, str]] = {
    "validation images that the discriminator recognises": {
        "real": "val_accuracy_real",
        "completed": "val_accuracy_completed",
    }
}
HEALTH: dict[str, Mapping[str, str]] = ACCURACY | {
    "gradient of each loss at the last layer, norm": {
        "reconstruction": "val_gradient_reconstruction",
        "adversarial, without α": "val_gradient_adversarial",
    },
    "α · adversarial gradient over reconstruction gradient": {"ratio": "val_gradient_ratio"},
    "share of saturated values (0 or 255) in the holes": {"saturated": "val_saturated"},
    "variety of completions, 1: that of the ground truth": {"variety": "val_variety"},
}
SHARES = {next(iter(ACCURACY))}  # drawn from 0 to 1
GRADIENTS = {list(HEALTH)[1]}  # drawn in powers of ten
PHASES = {
    "pretrain_generator": "the completion network alone",
    "pretrain_discriminators": "the discriminators alone",
    "train_joint": "both together",
}


def write_page(path: Path, contents: Contents) -> None:
    """Write the page, its pictures made smaller until it has at most a million bytes.

    Raises:
        UserError: its text alone has more.
    """
    known = _context(contents)
    for level in pictures.LEVELS:
        html = template("page.html").render(known | _pictures(contents, level))
        if len(html.encode()) <= LARGEST:
            break
    else:
        raise UserError(
            f"{path}: its tables alone have more than {LARGEST:,} bytes; score fewer sets of masks at a time"
        )
    write_text(path, html)


def _context(contents: Contents) -> dict[str, Any]:
    """What the template shows, pictures apart."""
    params, mask_sets = contents.params, list(contents.methods)
    stages = {stage: _charts(curve, TRAINING) for stage, curve in contents.curves.items()}
    if alone := contents.curves.get("pretrain_discriminators"):
        stages["pretrain_discriminators"] += _charts(alone, ACCURACY)
    joint = contents.curves.get("train_joint", [])
    return {
        "c": contents,
        "params": params,
        "preset": params.preset,
        "source": SOURCES[params.download.source],
        "synthetic": params.download.source == "synthetic",
        "metrics": {name: ALL[name] for name in contents.metrics},
        "mask_sets": {name: MASK_SETS.get(name, "") for name in mask_sets},
        "open": mask_sets[:OPEN],
        "methods": [method_title(name) for name in dict.fromkeys(m for by in contents.methods.values() for m in by)],
        "scores": {name: tables.scores(contents, name) for name in mask_sets},
        "compared": {name: comparisons(contents.differences, name) for name in mask_sets},
        "differences": {name: tables.differences(contents, name) for name in mask_sets},
        "published": tables.beside_published(contents, params.preset),
        "published_columns": list(MMAGIC_COLUMNS.values()),
        "theirs": MMAGIC,
        "same": SAME,
        "differs": what_differs(params, contents.images, contents.people),
        "failures": failures(contents.slices),
        "slice_charts": _slice_charts(contents.slices),
        "slice_table": _slice_table(contents.slices),
        "slice_metrics": [ALL[name] for name in SLICE_METRICS],
        "sliced": [method_title(str(name)) for name in dict.fromkeys(contents.slices["method"])],
        "stages": stages,
        "phases": PHASES,
        "health": _charts(joint, HEALTH),
        "measured": sum("val_variety" in point for point in joint),
        "patience": PATIENCE,
        "alarms": alarms(joint, params.adversarial.loss, params.adversarial.real_label),
        "confidence": percent(params.report.confidence),
        "legend_mark": legend_mark,
        "listed": listed,
        "number": number,
    }


def _charts(curve: Curve, of: Mapping[str, Mapping[str, str]]) -> list[Chart]:
    """A chart of each group of columns of which the curve has at least one."""
    charts = []
    for title, columns in of.items():
        series = {name: [(p["images"], p[key]) for p in curve if key in p] for name, key in columns.items()}
        series = {name: points for name, points in series.items() if points}
        if series:
            charts.append(line_chart(title, series, (0, 1) if title in SHARES else None, log=title in GRADIENTS))
    return charts


def _slice_charts(slices: pd.DataFrame, metric: str = "l1_hole") -> list[Chart]:
    """One chart for each way to slice that has more than one kind."""
    table = slices[(slices["mask_set"] == POOLED) & (slices["metric"] == metric)].dropna(subset=["mean"])
    methods = list(dict.fromkeys(table["method"]))
    most = float(table[["mean", "high"]].max().max())  # one scale, so that the charts can be compared
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
    """Of our method: slice, bin, images, and a cell for each metric shown."""
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


def _pictures(contents: Contents, level: pictures.Level) -> dict[str, Any]:
    """The figure, and the galleries of all mask sets; where images may not be passed on freely, of the first two."""
    few = contents.params.download.source != "synthetic"
    names = [name for name in contents.methods if name in contents.gallery][: OPEN if few else None]
    picture = partial(pictures.gallery, level=level)
    return {
        "figure": pictures.figure(contents.figure, level) if contents.figure is not None else None,
        "gallery": {name: [(shown, picture(shown)) for shown in contents.gallery[name]] for name in names},
    }
