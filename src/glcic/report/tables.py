"""Tables of the page: scores with intervals, paired differences, and our scores next to published ones."""

from collections.abc import Collection
from dataclasses import dataclass

from glcic.evaluation.definitions import ALL, LOOKS
from glcic.report.bootstrap import sign
from glcic.report.formatting import change, interval, listed, method_title, number
from glcic.report.published import DIGITS, MASK_SET, MMAGIC, MMAGIC_COLUMNS
from glcic.report.report_data import METHOD, ReportData, Scored, records


@dataclass(frozen=True)
class Cell:
    """A table cell: a number with its interval and a note.

    Attributes:
        value: the formatted number.
        interval: the formatted interval; empty if there is none.
        note: a note such as `3 undefined`, or the result of a comparison.
        best: whether no other method has a better mean; for differences, whether our method is better.
    """

    value: str
    interval: str = ""
    note: str = ""
    best: bool = False


@dataclass(frozen=True)
class TableRow:
    """A table row: its name, its cells, and whether it shows our method."""

    name: str
    cells: list[Cell]
    ours: bool = False


def on_fewer(scored: Scored, methods: Collection[str] | None = None) -> str:
    """Say in a sentence which methods were scored on a part of the images; empty if all were scored on all.

    Args:
        scored: the scores.
        methods: methods to speak of; None: all.
    """
    groups: dict[int, list[str]] = {}
    for mask_set, by_method in scored.methods.items():
        for method in by_method if methods is None else [name for name in by_method if name in methods]:
            if (n := scored.fewer(mask_set, method)) is not None and method not in groups.setdefault(n, []):
                groups[n].append(method)
    return " ".join(
        f"{listed(map(method_title, group))} {'is' if len(group) == 1 else 'are'} scored on {n:,} of the "
        f"{scored.images:,} test images, evenly spaced over the split, and compared on these."
        for n, group in groups.items()
    )


def _named(scored: Scored, mask_set: str, method: str) -> str:
    """Title of a method, with the number of its images if it was scored on a part of them."""
    n = scored.fewer(mask_set, method)
    return method_title(method) if n is None else f"{method_title(method)}, {n:,} images"


def scores(scored: Scored, mask_set: str) -> list[TableRow]:
    """Make the table of scores on a mask set, methods × metrics: means and intervals."""
    methods = scored.methods[mask_set]
    rows = []
    for method, means in methods.items():
        cells = []
        for metric, mean in means.items():
            known = [score for other in methods.values() if (score := other[metric]) is not None]
            best = min(known, key=ALL[metric].badness, default=None)
            row = scored.interval(mask_set, method, metric)
            undefined = int(row.get("undefined", 0))
            cells.append(
                Cell(
                    number(mean, ALL[metric].digits),
                    interval(row.get("low"), row.get("high"), ALL[metric].digits),
                    f"{undefined:,} undefined" if undefined else "",
                    mean is not None and mean == best,
                )
            )
        rows.append(TableRow(_named(scored, mask_set, method), cells, method == METHOD))
    return rows


VERDICTS = {1: "▲ better", -1: "▼ worse", 0: "≈ no clear difference"}


def differences(report_data: ReportData, mask_set: str) -> tuple[list[str], list[TableRow]]:
    """Make the table of paired differences on a mask set: titles of the metrics, and rows of the other methods."""
    table = report_data.differences[report_data.differences["mask_set"] == mask_set]
    metrics = list(dict.fromkeys(table["metric"]))
    rows = []
    for other, of_other in table.groupby("other", sort=False):
        by_metric = {row.metric: row for row in records(of_other)}
        cells = []
        for metric in metrics:
            row = by_metric[metric]
            outcome = sign(row.low, row.high, ALL[metric].higher)
            value, _, between = change(row, ALL[metric].digits).partition(" ")
            cells.append(Cell(value, between, VERDICTS[outcome] if between else "", outcome == 1))
        rows.append(TableRow(_named(report_data, mask_set, str(other)), cells))
    return [ALL[metric].title for metric in metrics], rows


JOINT_METRICS = ("psnr", *LOOKS)  # before and after the joint phase


def joint_phase(report_data: ReportData) -> list[TableRow]:
    """Make the table of what the joint phase changes, a row per mask set; empty if there is nothing to compare."""
    table = report_data.differences[report_data.differences["other"] == "pretrained"]
    between = {(row.mask_set, row.metric): row for row in records(table)}
    rows = []
    for mask_set, methods in report_data.methods.items():
        before, after = methods.get("pretrained"), methods.get(METHOD)
        if before is None or after is None or not all(metric in after for metric in JOINT_METRICS):
            return []
        cells = []
        for metric in JOINT_METRICS:
            digits = ALL[metric].digits
            values = " → ".join(number(scores[metric], digits) for scores in (before, after))
            row = between.get((mask_set, metric))
            verdict = VERDICTS[sign(row.low, row.high, ALL[metric].higher)] if row is not None else ""
            cells.append(Cell(values, change(row, digits) if row is not None else "", verdict))
        rows.append(TableRow(mask_set, cells))
    return rows


def beside_published(scored: Scored, preset: str) -> list[TableRow]:
    """Make the table of our and MMagic's scores, in its columns and units; empty if its protocol was not scored."""
    if MASK_SET not in scored.methods:
        return []
    rows = []
    for method in (METHOD, "pretrained"):
        if method not in scored.methods[MASK_SET]:
            continue
        cells = []
        for metric in MMAGIC_COLUMNS:
            row = scored.interval(MASK_SET, method, metric)
            mean = number(scored.methods[MASK_SET][method][metric], DIGITS)
            cells.append(Cell(mean, interval(row.get("low"), row.get("high"), DIGITS)))
        rows.append(TableRow(f"{method_title(method)}, preset {preset}", cells, method == METHOD))
    published = [Cell(number(MMAGIC.scores[metric], DIGITS)) for metric in MMAGIC_COLUMNS]
    return [*rows, TableRow(f"{MMAGIC.system} ({MMAGIC.data})", published)]
