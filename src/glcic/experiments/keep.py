"""Keep the present report under a name, beside those that git already has: reports/celeba-small/ was made so."""

import shutil
from dataclasses import replace

from dvc.repo import Repo

from glcic import paths
from glcic.errors import UserError
from glcic.experiments.repository import head_commit
from glcic.files import sha256_of, write_text
from glcic.params import load
from glcic.report.card import write_card
from glcic.report.contents import read_contents
from glcic.report.page import write_page

# What git keeps of a report. Of the others, and of what a report is made from, SHA256SUMS has the hashes.
TABLES = (
    paths.REPORT.metrics,
    paths.REPORT.methods,
    paths.REPORT.manifest,
    paths.REPORT.intervals,
    paths.REPORT.differences,
    paths.REPORT.slices,
    paths.REPORT.figure,
    paths.PARAMS,
)
HASHED = (paths.FACES / "faces.npy", paths.FACES / "index.csv", paths.PRETRAINED, paths.COMPLETION)


def keep_report(name: str) -> None:
    """Copy the present report to reports/NAME, with its parameters, model card, hashes, and a page of its own.

    Raises:
        UserError: the name is no folder's, something else is there, or the report is not up to date.
    """
    folder = paths.REPORT.folder / name
    if folder.parent != paths.REPORT.folder or name in ("", ".", ".."):
        raise UserError(f"{name}: not the name of a folder; choose one like celeba-small")
    if folder.exists() and not (folder / paths.PARAMS).exists():
        raise UserError(f"{folder} exists and is no report; choose another name")
    head_commit()
    with Repo() as repo:
        if stale := repo.status():
            raise UserError(
                f"{', '.join(stale)}: not up to date with {paths.PARAMS} and the code; run `dvc repro` first"
            )
    params = load(paths.PARAMS)
    contents = replace(
        read_contents(paths.REPORT.folder, params, paths.FACES_SUMMARY, paths.COMPLETION), place=folder.as_posix()
    )
    hashed = [path for path in (*HASHED, paths.REPORT.scores, paths.REPORT.masks) if path.exists()]
    (folder / "curves").mkdir(parents=True, exist_ok=True)
    for table in TABLES:
        shutil.copyfile(table, folder / table.name)
    for curve in sorted(paths.REPORT.curves.glob("*.csv")):
        shutil.copyfile(curve, folder / "curves" / curve.name)
    write_page(folder / paths.REPORT.page.name, contents)
    write_card(folder / paths.CARD.name, contents)
    write_text(folder / "SHA256SUMS", "".join(f"{sha256_of(path)}  {path.as_posix()}\n" for path in hashed))
    print(f"wrote {folder}; `git add {folder}`, and `glcic verify {folder}` whenever it is doubted")
