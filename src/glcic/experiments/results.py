"""Scores of a report as Markdown, with intervals and next to the published scores."""

from collections.abc import Sequence
from pathlib import Path

from glcic import paths
from glcic.evaluation.definitions import ALL
from glcic.params import Params, load, load_report
from glcic.report.formatting import markdown, percent
from glcic.report.published import MASK_SET, MMAGIC_COLUMNS, SAME, what_differs
from glcic.report.report_data import Scored, read_scored, read_table, records
from glcic.report.tables import TableRow, beside_published, on_fewer, scores

PRINTED_METRICS = ("l1_hole", "l1", "psnr", "ssim")  # the page has all metrics


def print_results(report: Path) -> None:
    """Print a report's tables as Markdown, ready for a README.

    Args:
        report: folder of the report; its own params.yaml is used if it has one.

    Raises:
        UserError: there is no report, or it is invalid.
    """
    scored = read_scored(report)
    own = report / paths.PARAMS.name
    params = load_report(own) if own.exists() else load(paths.PARAMS)
    parts = [_all_methods(scored)]
    if (masks := report / paths.REPORT.manifest.name).exists():
        parts.append(_about_masks(masks))
    if len(scored.intervals):
        parts.append(_about_intervals(scored, params))
    if fewer := on_fewer(scored):
        parts.append(fewer)
    if MASK_SET in scored.methods:
        parts += _published(scored, params)
    print("\n\n".join(parts))


def _all_methods(scored: Scored) -> str:
    shown = [i for i, metric in enumerate(scored.metrics) if metric in PRINTED_METRICS]
    header = ["mask set", "method", *(ALL[scored.metrics[i]].title for i in shown)]
    return markdown(
        header,
        [[mask_set, *texts(row, shown)] for mask_set in scored.methods for row in scores(scored, mask_set)],
    )


def _about_masks(masks: Path) -> str:
    rows = records(read_table(masks).query("split == 'test'"))
    return f"SHA-256 of the masks ({masks}): {', '.join(f'{row.mask_set} {row.sha256[:12]}…' for row in rows)}."


def _about_intervals(scored: Scored, params: Params) -> str:
    drawn = f"{scored.people:,} people" if scored.people else "images"
    return (
        f"Means over {scored.images:,} test images, with {percent(params.report.confidence_level)} bootstrap intervals "
        f"over {drawn}. More metrics, paired differences and pictures: {paths.REPORT.page.name} in the same folder."
    )


def _published(scored: Scored, params: Params) -> list[str]:
    rows = [texts(row, range(len(MMAGIC_COLUMNS))) for row in beside_published(scored, params.preset)]
    differs = what_differs(params, scored.images, scored.people)
    return [
        f"MMagic's protocol (mask set {MASK_SET}), in MMagic's units:",
        markdown(["system", *MMAGIC_COLUMNS.values()], rows),
        f"{SAME} What differs:",
        markdown(["", "here", "MMagic"], differs),
    ]


def texts(row: TableRow, shown: Sequence[int]) -> list[str]:
    """Name of a row, bold for our methods, followed by the texts of the shown cells."""
    cells = (row.cells[i] for i in shown)
    texts = [" ".join(part for part in (cell.value, cell.interval) if part) for cell in cells]
    return [f"**{row.name}**" if row.ours else row.name, *texts]
