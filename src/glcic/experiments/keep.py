"""Keep the current report in a folder of its own, to be committed: reports/celeba-small/ was made this way."""

import json
import shutil
from dataclasses import replace

from dvc.repo import Repo

from glcic import paths
from glcic.errors import UserError
from glcic.experiments.repository import head_commit
from glcic.files import sha256_of, write_text
from glcic.params import load, refuse_models_of_others
from glcic.report.card import write_card
from glcic.report.page import write_page
from glcic.report.report_data import read_report
from glcic.training.code import described, mixed

# Files of a report that git keeps. SHA256SUMS has the hashes of the others and of the files they are made from.
TABLES = (
    paths.REPORT.metrics,
    paths.REPORT.methods,
    paths.REPORT.validation,
    paths.REPORT.manifest,
    paths.REPORT.intervals,
    paths.REPORT.differences,
    paths.REPORT.slices,
    paths.REPORT.figure,
    paths.PARAMS,
)
HASHED = (paths.IMAGES_ARRAY, paths.IMAGES_INDEX, paths.PRETRAINED, paths.GENERATOR)


def keep_report(name: str) -> None:
    """Copy the current report to reports/NAME, with its parameters, model card, hashes and HTML page.

    Files say what the stages ran on and, where several versions of the code trained one, which.

    Raises:
        UserError: the name is not a valid folder name, the folder is not a report, or the report is not up to date.
    """
    folder = paths.REPORT.folder / name
    if folder.parent != paths.REPORT.folder or name in ("", ".", ".."):
        raise UserError(f"{name}: not a folder name; choose one like celeba-small")
    if folder.exists() and not (folder / paths.PARAMS).exists():
        raise UserError(f"{folder} exists and is not a report; choose another name")
    head_commit()
    with Repo() as repo:
        if stale := repo.status():
            raise UserError(
                f"{', '.join(stale)}: not up to date with {paths.PARAMS} and the code; run `dvc repro` first"
            )
    params = load(paths.PARAMS)
    refuse_models_of_others(paths.MODELS, params.model_dump(mode="json"))
    report_data = replace(
        read_report(paths.REPORT.folder, params, paths.IMAGES_SUMMARY, paths.GENERATOR), place=folder.as_posix()
    )
    hashed = [path for path in (*HASHED, paths.REPORT.scores, paths.REPORT.looks, paths.REPORT.masks) if path.exists()]
    (folder / "curves").mkdir(parents=True, exist_ok=True)
    for table in TABLES:
        shutil.copyfile(table, folder / table.name)
    for curve in sorted(paths.REPORT.curves.glob("*.csv")):
        shutil.copyfile(curve, folder / "curves" / curve.name)
    write_page(folder / paths.REPORT.page.name, report_data)
    write_card(folder / paths.CARD.name, report_data)
    write_text(folder / "SHA256SUMS", "".join(f"{sha256_of(path)}  {path.as_posix()}\n" for path in hashed))
    for record in (paths.CODE_VERSIONS, paths.REPORT.made_on.name):
        (folder / record).unlink(missing_ok=True)
    if paths.REPORT.made_on.exists():
        shutil.copyfile(paths.REPORT.made_on, folder / paths.REPORT.made_on.name)
    if versions := mixed(paths.MODELS):
        write_text(folder / paths.CODE_VERSIONS, json.dumps(versions, indent=2) + "\n")
        for stage, entries in versions.items():
            print(f"note: {described(stage, entries)}; {folder / paths.CODE_VERSIONS} says so")
    print(f"wrote {folder}; commit it with `git add {folder}`, check it with `glcic verify {folder}`")
