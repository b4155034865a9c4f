"""Keep the present report under a name, beside those that git already has: reports/celeba-small/ was made so."""

import hashlib
import shutil
from dataclasses import replace
from typing import Annotated

import typer
from dvc.repo import Repo

from glcic.data.faces import SUMMARY
from glcic.errors import UserError
from glcic.params import load
from glcic.report.card import write_card
from glcic.report.contents import read_contents
from glcic.report.page import write_page
from pipeline import _reports, _stage

# What git keeps of a report. Of the others, and of what a report is made from, SHA256SUMS has the hashes.
TABLES = (
    _stage.METRICS,
    _stage.METHODS,
    _reports.MASKS,
    _reports.INTERVALS,
    _reports.DIFFERENCES,
    _reports.SLICES,
    _stage.FIGURES / "completions.png",
    _stage.PARAMS,
)
HASHED = (_stage.FACES / "faces.npy", _stage.FACES / "index.csv", _stage.PRETRAINED, _stage.COMPLETION)


def main(name: Annotated[str, typer.Argument(help="the folder's name, like celeba-small")]) -> None:
    """Copy the report to reports/NAME, with its parameters, model card, hashes, and a page of its own."""
    _stage.with_errors_explained(lambda: _keep(name))


def _keep(name: str) -> None:
    folder = _stage.REPORTS / name
    if folder.parent != _stage.REPORTS or name in ("", ".", ".."):
        raise UserError(f"{name}: not the name of a folder; choose one like celeba-small")
    if folder.exists() and not (folder / _stage.PARAMS).exists():
        raise UserError(f"{folder} exists and is no report; choose another name")
    with Repo() as repo:
        if stale := repo.status():
            raise UserError(
                f"{', '.join(stale)}: not up to date with {_stage.PARAMS} and the code; run `dvc repro` first"
            )
    params = load(_stage.PARAMS)
    contents = replace(
        read_contents(_stage.REPORTS, params, _stage.FACES / SUMMARY, _stage.COMPLETION), place=folder.as_posix()
    )
    hashed = [path for path in (*HASHED, _stage.SCORES, _reports.HOLES) if path.exists()]
    (folder / "curves").mkdir(parents=True, exist_ok=True)
    for table in TABLES:
        shutil.copyfile(table, folder / table.name)
    for curve in sorted(_stage.CURVES.glob("*.csv")):
        shutil.copyfile(curve, folder / "curves" / curve.name)
    write_page(folder / _reports.PAGE.name, contents)
    write_card(folder / _reports.CARD.name, contents)
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.as_posix()}\n" for path in hashed]
    (folder / "SHA256SUMS").write_text("".join(lines))
    print(f"wrote {folder}; `git add {folder}`, and `glcic verify {folder}` whenever it is doubted")


if __name__ == "__main__":
    typer.run(main)
