"""Score a folder of somebody else's completions beside our methods, on the same holes. `glcic score` does so."""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from glcic.data.faces import Faces
from glcic.errors import UserError
from glcic.evaluation.bootstrap import Bootstrap, differences, in_words, intervals
from glcic.evaluation.definitions import METHODS, METRICS
from glcic.evaluation.evaluate import Evaluation, Methods
from glcic.evaluation.exchange import check_manifest, completions
from glcic.evaluation.mask_sets import stored
from glcic.evaluation.tables import means, write_methods
from glcic.params import load
from pipeline import _reports, _stage
from pipeline.export import test_manifest


def main(
    folder: Annotated[Path, typer.Argument(help="its completions: <mask set>/000000.png and so on")],
    name: Annotated[str, typer.Argument(help="what the system is called in the tables")],
) -> None:
    """Print all methods' scores with intervals; write scores, methods, intervals and differences to the folder."""
    _stage.with_errors_explained(lambda: _score(folder, name))


def _score(folder: Path, name: str) -> None:
    if name in METHODS:
        raise UserError(f"{name}: one of our methods is called so; choose another name")
    if not _stage.SCORES.exists():
        raise UserError(f"{_stage.SCORES}: no such file; run `dvc repro` or `dvc pull` first")
    params = load(_stage.PARAMS)
    manifest = test_manifest()
    sets = [mask_set for mask_set in manifest["mask_set"] if (folder / mask_set).is_dir()]
    if not sets:
        raise UserError(
            f"{folder}: has none of the folders {', '.join(manifest['mask_set'])}; `glcic export` shows how"
        )
    check_manifest(folder, manifest)
    faces = Faces(_stage.FACES, "test")
    tables = []
    with Evaluation(Methods({}), batch=params.evaluate.batch, processes=params.runtime.threads) as evaluation:
        for mask_set in sets:
            holes = stored(_reports.HOLES, "test", mask_set, faces.size)
            tables.append(evaluation.scores(faces, holes, given={name: completions(folder, faces, holes)})[0])
    theirs = pd.concat(tables, ignore_index=True).replace([np.inf, -np.inf], np.nan)
    ours = pd.read_csv(_stage.SCORES)
    ours = ours[(ours["split"] == "test") & ours["mask_set"].isin(sets)]
    together = pd.concat([ours[theirs.columns], theirs], ignore_index=True)
    bootstrap = Bootstrap(params.report.resamples, params.report.confidence, params.seed)
    found, paired = intervals(together, bootstrap), differences(together, name, bootstrap)
    for table, file in ((theirs, "scores.csv"), (found, "intervals.csv"), (paired, "differences.csv")):
        table.to_csv(folder / file, index=False, float_format="%.6g", lineterminator="\n")
    (folder / "methods.csv").write_text(write_methods(means(together)), encoding="utf-8")
    _print(found, paired, name)
    print(f"\nwrote scores.csv, methods.csv, intervals.csv and differences.csv to {folder}")


def _print(found: pd.DataFrame, paired: pd.DataFrame, name: str) -> None:
    titles = [metric.title for metric in METRICS.values()]
    for mask_set, of_set in found.groupby("mask_set", sort=False):
        print(f"\n{mask_set}, test split, mean [interval]:\n")
        print("| method | " + " | ".join(titles) + " |\n" + "| --- " * (len(titles) + 1) + "|")
        for method, rows in of_set.groupby("method", sort=False):
            by = {row["metric"]: row for row in rows.to_dict("records")}
            cells = [_cell(by[metric], METRICS[metric].digits) for metric in METRICS]
            print(f"| {METHODS.get(str(method), method)} | " + " | ".join(cells) + " |")
        print()
        own = paired[(paired["mask_set"] == mask_set) & (paired["metric"] == "psnr")]
        for row in own.to_dict("records"):
            other = METHODS.get(row["other"], row["other"])
            said = in_words(row["low"], row["high"], METRICS["psnr"].higher, name, other)
            print(f"PSNR: {said} ({row['difference']:+.2f} dB [{row['low']:+.2f}, {row['high']:+.2f}], paired)")


def _cell(row: Mapping[Hashable, Any], digits: int) -> str:
    if pd.isna(row["mean"]):
        return "–"
    return f"{row['mean']:.{digits}f} [{row['low']:.{digits}f}, {row['high']:.{digits}f}]"


if __name__ == "__main__":
    typer.run(main)
