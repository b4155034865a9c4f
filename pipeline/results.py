"""Print the scores of reports/methods.csv as a table. `make repro` does so last."""

import typer

from glcic.errors import UserError
from glcic.evaluation.tables import read_methods
from pipeline import _stage

HEADER = ("mask set", "method", "L1 hole %", "L1 %", "PSNR dB", "SSIM")


def main() -> None:
    """Print the table in Markdown, ready for a README."""
    if not _stage.METHODS.exists():
        raise UserError(f"{_stage.METHODS}: no such file; run `dvc repro` first")
    rows = [
        (mask_set, method.replace("_", " "), *(_number(s[k], d) for k, d in FORMAT))
        for mask_set, methods in read_methods(_stage.METHODS.read_text()).items()
        for method, s in methods.items()
    ]
    widths = [max(len(row[i]) for row in [HEADER, *rows]) for i in range(len(HEADER))]
    lines = [HEADER, tuple("-" * w for w in widths), *rows]
    print("\n".join("| " + " | ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) + " |" for r in lines))


FORMAT = (("l1_hole", 2), ("l1", 2), ("psnr", 2), ("ssim", 3))


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


if __name__ == "__main__":
    typer.run(lambda: _stage.with_errors_explained(main))
