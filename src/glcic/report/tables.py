"""The page's tables: scores with intervals, paired differences, and our row beside the published one."""

from dataclasses import dataclass

from glcic.evaluation.definitions import ALL
from glcic.report.bootstrap import sign
from glcic.report.contents import METHOD, Contents, Scored, records
from glcic.report.published import DIGITS, MASK_SET, MMAGIC, MMAGIC_COLUMNS
from glcic.report.words import change, interval, method_title, number


@dataclass(frozen=True)
class Cell:
    """A number, its interval, and what else is to be said of it.

    Attributes:
        note: as `3 undefined`, or who is better.
        best: whether no other method's mean is better; for differences, whether ours is.
    """

    value: str
    interval: str = ""
    note: str = ""
    best: bool = False


@dataclass(frozen=True)
class TableRow:
    name: str
    cells: list[Cell]
    ours: bool = False


def scores(scored: Scored, mask_set: str) -> list[TableRow]:
    """Methods × metrics: means and intervals."""
    methods = scored.methods[mask_set]
    rows = []
    for method, means in methods.items():
        cells = []
        for metric, mean in means.items():
            known = [score for other in methods.values() if (score := other[metric]) is not None]
            best = max(known, default=None) if ALL[metric].higher else min(known, default=None)
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
        rows.append(TableRow(method_title(method), cells, method == METHOD))
    return rows


VERDICTS = {1: "▲ better", -1: "▼ worse", 0: "≈ not told apart"}


def differences(contents: Contents, mask_set: str) -> tuple[list[str], list[TableRow]]:
    """Titles of the metrics, and other methods × metrics: paired differences, and what follows."""
    table = contents.differences[contents.differences["mask_set"] == mask_set]
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
        rows.append(TableRow(method_title(str(other)), cells))
    return [ALL[metric].title for metric in metrics], rows


def beside_published(scored: Scored, preset: str) -> list[TableRow]:
    """Our scores in MMagic's columns and units, and MMagic's; empty if its protocol was not scored."""
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
