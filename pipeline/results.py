"""Print a report's scores with their intervals, and beside the published ones. `make repro` does so last."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from glcic import paths
from glcic.evaluation.definitions import ALL
from glcic.params import Params, load
from glcic.report.contents import Scored, read_scored, read_table, records
from glcic.report.published import MASK_SET, MMAGIC_COLUMNS, SAME, what_differs
from glcic.report.tables import TableRow, beside_published, scores
from glcic.report.words import percent
from pipeline import stage as _stage

PRINTED_METRICS = ("l1_hole", "l1", "psnr", "ssim")  # the page has all metrics


def main(
    report: Annotated[Path, typer.Argument(help="folder of the report, with its params.yaml if it has its own")] = (
        paths.REPORT.folder
    ),
) -> None:
    """Print the tables in Markdown, ready for a README."""
    _stage.with_errors_explained(lambda: _print(report))


def _print(report: Path) -> None:
    scored = read_scored(report)
    own = report / paths.PARAMS.name
    params = load(own if own.exists() else paths.PARAMS)
    parts = [_all_methods(scored)]
    if (masks := report / paths.REPORT.manifest.name).exists():
        parts.append(_about_holes(masks))
    if len(scored.intervals):
        parts.append(_about_intervals(scored, params))
    if MASK_SET in scored.methods:
        parts += _published(scored, params)
    print("\n\n".join(parts))


def _all_methods(scored: Scored) -> str:
    shown = [i for i, metric in enumerate(scored.metrics) if metric in PRINTED_METRICS]
    header = ["mask set", "method", *(ALL[scored.metrics[i]].title for i in shown)]
    return _markdown(
        header,
        [[mask_set, *_texts(row, shown)] for mask_set in scored.methods for row in scores(scored, mask_set)],
    )


def _about_holes(masks: Path) -> str:
    rows = records(read_table(masks).query("split == 'test'"))
    return f"SHA-256 of the holes ({masks}): {', '.join(f'{row.mask_set} {row.sha256[:12]}…' for row in rows)}."


def _about_intervals(scored: Scored, params: Params) -> str:
    drawn = f"{scored.people:,} people" if scored.people else "images"
    return (
        f"Means over {scored.images:,} test images, with {percent(params.report.confidence)} bootstrap intervals over "
        f"{drawn}. More metrics, paired differences and pictures: {paths.REPORT.page.name} in the same folder."
    )


def _published(scored: Scored, params: Params) -> list[str]:
    rows = [_texts(row, range(len(MMAGIC_COLUMNS))) for row in beside_published(scored, params.preset)]
    differs = what_differs(params, scored.images, scored.people)
    return [
        f"MMagic's protocol (mask set {MASK_SET}), in MMagic's units:",
        _markdown(["system", *MMAGIC_COLUMNS.values()], rows),
        f"{SAME} What differs:",
        _markdown(["", "here", "MMagic"], differs),
    ]


def _texts(row: TableRow, shown: Sequence[int]) -> list[str]:
    """A row's name, bold if it is ours, and those of its cells."""
    cells = (row.cells[i] for i in shown)
    texts = [" ".join(part for part in (cell.value, cell.interval) if part) for cell in cells]
    return [f"**{row.name}**" if row.ours else row.name, *texts]


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns stand one below the other on a terminal, too."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = [header, ["-" * max(3, width) for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(text.ljust(max(3, width)) for text, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    )


if __name__ == "__main__":
    typer.run(main)
